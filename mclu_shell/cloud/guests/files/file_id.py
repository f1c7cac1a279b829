"""The identity of a file: the same on each of its paths on one node, and comparable between nodes."""

from typing import NamedTuple

# File systems that only one machine can mount (statfs(2)). Overlay and FUSE may have a network file system below.
_LOCAL = frozenset(
    {
        "ef53",  # ext2, ext3, ext4
        "58465342",  # XFS
        "9123683e",  # Btrfs
        "2fc12fc1",  # ZFS
        "f2f52010",  # F2FS
        "ca451a4e",  # bcachefs
        "3153464a",  # JFS
        "52654973",  # ReiserFS
        "3434",  # NILFS
        "4d44",  # FAT
        "2011bab0",  # exFAT
        "1021994",  # tmpfs
        "858458f6",  # ramfs
        "958458f6",  # hugetlbfs
    }
)
# NFS, Ceph, GFS2, OCFS2: a file has the same inode number on all clients.
_SAME_INODES = frozenset(("6969", "c36400", "1161970", "7461636f"))
_UNKNOWN_TIME = "-"


class FileId(NamedTuple):
    """A file as its node reports it (stat(1)); a symbolic link is followed.

    `modified` is in seconds, `born` is a sortable text. `magic` is the type of its file system in hexadecimal digits,
    `file_system` the name of that type. A file is exported if other machines can reach it through this node's NFS or
    Samba server.
    """

    device: int
    inode: int
    is_regular: bool
    length: int
    modified: int
    born: str
    magic: str
    file_system: str
    file_system_id: str
    is_exported: bool = False

    @property
    def key(self) -> str:
        """Device and inode: the same for all paths of the file on its node."""
        return f"{self.device}:{self.inode}"

    @property
    def identity(self) -> str:
        """Inode and time of birth, which no later file on the file system has; empty if the time is unknown."""
        return f"{self.inode} {self.born}" if self.born != _UNKNOWN_TIME else ""

    @property
    def is_local(self) -> bool:
        """True if no other machine can use the file."""
        return self.is_on_local_file_system and not self.is_exported

    @property
    def is_on_local_file_system(self) -> bool:
        """True if only one machine can mount the file system."""
        return self.magic in _LOCAL

    def may_be(self, own_path: str, other: "FileId", other_path: str) -> bool:
        """Return whether this file and one of another node may be the same; true if that cannot be decided."""
        if self.is_on_local_file_system and other.is_on_local_file_system:
            # Two nodes on one kernel, as containers. Clones of a disk differ only in the times of their files.
            same_birth = self.born == other.born or _UNKNOWN_TIME in (self.born, other.born)
            return (self.file_system_id, self.inode) == (other.file_system_id, other.inode) and same_birth
        # An NFS server has the inode numbers of its clients. A client's size and time may be out of date.
        if self.inode == other.inode or (self.length, self.modified) == (other.length, other.modified):
            return True
        # Other network file systems may invent inode numbers on each client, and a guest may be writing to the file.
        return not (self.has_shared_inode and other.has_shared_inode) and base_name(own_path) == base_name(other_path)

    @property
    def has_shared_inode(self) -> bool:
        """True if the file has the same inode number on all nodes."""
        return self.is_on_local_file_system or self.magic in _SAME_INODES

    def is_younger_than(self, other: "FileId") -> bool:
        """Return whether this file was certainly made after another one."""
        return _UNKNOWN_TIME not in (self.born, other.born) and self.born >= other.born


def base_name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]
