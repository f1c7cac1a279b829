"""The comparison of files of two nodes."""

import pytest

from mclu_shell.cloud.guests.files.file_id import FileId

EXT4 = FileId(64, 77, True, 4096, 1000, "2026-01-01 00:00:00.000000001 +0000", "ef53", "ext2/ext3", "aa")
NFS = FileId(51, 77, True, 4096, 1000, "-", "6969", "nfs", "0")
FUSE = FileId(52, 5, True, 4096, 1000, "-", "65735546", "fuseblk", "0")
LATER = "2026-01-01 00:00:00.000000002 +0000"


@pytest.mark.parametrize(
    ("own", "other", "is_same"),
    [
        (EXT4, EXT4._replace(device=65, length=8192, modified=2000), True),
        (EXT4, EXT4._replace(inode=78), False),
        # Another machine's disk.
        (EXT4, EXT4._replace(file_system_id="bb"), False),
        # A disk that is a copy of the other one.
        (EXT4, EXT4._replace(born=LATER), False),
        (EXT4, EXT4._replace(born="-"), True),
        (NFS, NFS._replace(device=99, length=8192, modified=2000), True),
        (NFS, NFS._replace(inode=78, length=8192), False),
        # A server and its client.
        (EXT4, NFS, True),
        (EXT4, NFS._replace(inode=78, length=8192), False),
        (NFS, EXT4, True),
        # A file system without stable inode numbers.
        (FUSE, FUSE._replace(inode=6), True),
        (FUSE, FUSE._replace(inode=6, length=8192), True),
        (EXT4, FUSE, True),
    ],
)
def test_files_of_two_nodes(own: FileId, other: FileId, is_same: bool) -> None:
    assert own.may_be("/a/web", other, "/b/web") == is_same


def test_files_with_other_names_and_contents_differ() -> None:
    assert not FUSE.may_be("/a/web", FUSE._replace(inode=6, length=8192), "/b/db")


def test_only_a_file_on_a_local_file_system_that_is_not_exported_is_local() -> None:
    assert EXT4.is_local
    assert not EXT4._replace(is_exported=True).is_local
    assert not NFS.is_local
    assert not FUSE.is_local


def test_the_age_of_a_file_must_be_known() -> None:
    assert EXT4._replace(born=LATER).is_younger_than(EXT4)
    assert not EXT4.is_younger_than(EXT4._replace(born=LATER))
    assert not EXT4.is_younger_than(NFS)
    assert not NFS.is_younger_than(EXT4)
