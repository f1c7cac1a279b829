"""The uses of a file by guests of its node and of other nodes."""

from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.guests.files.file_uses import FileUse, FileUses

EXT4 = FileId(64, 77, True, 4096, 1000, "2026-01-01 00:00:00.000000001 +0000", "ef53", "ext2/ext3", "aa")
NFS = FileId(51, 77, True, 4096, 1000, "-", "6969", "nfs", "0")
WEB = FileUse("/images/web", EXT4, "1", "web", EXT4.key)
# Their file systems are not mounted now.
MISSING = FileUse("/mnt/web", None, "2", "db", "/mnt/web")
OTHER = FileUse("/mnt/other", None, "3", "other", "/mnt/other")
USES = FileUses([WEB, MISSING, OTHER])


def test_a_missing_file_of_the_same_name_may_be_the_file() -> None:
    assert list(USES.find_here("/images/web", EXT4)) == [WEB, MISSING]
    assert MISSING in USES.find_elsewhere("/share/web", NFS)
    assert MISSING not in USES.find_elsewhere("/share/db", NFS)


def test_a_missing_file_of_another_node_is_no_file_of_a_local_file_system() -> None:
    assert list(USES.find_elsewhere("/images/web", EXT4._replace(file_system_id="bb"))) == []
