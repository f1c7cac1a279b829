"""The names of the files that mclu and libvirt create for a guest, in the directories of its node."""

from typing import NamedTuple

from mclu_shell.config import NodeConfig

DISK_FORMAT = "qcow2"
# SELinux lets virtlogd write here, but not to the directory of images.
_LOGS = "/var/log/libvirt/qemu"
# libvirt chooses the names of NVRAM files (qemuDomainNVRAMPathFormat); a user's own instance has another directory.
_NVRAM, _ANY_NVRAM = "/var/lib/libvirt/qemu/nvram", "/qemu/nvram"


class FileNames(NamedTuple):
    """The directories of a node: that of images, and those of libvirt's system instance, if it is used.

    The metadata and the snapshots of a guest name files, too, but come with it from another machine. A file of such a
    name is mclu's own only if it has a name that mclu, or libvirt for mclu, chooses for this guest.
    """

    images: str = ""
    is_system: bool = False

    @classmethod
    def of(cls, node: NodeConfig) -> "FileNames":
        """Return the names on a node."""
        return cls(node.images, node.uri.endswith("/system"))

    def disk(self, guest: str) -> str:
        """Return the path of a guest's disk."""
        return f"{self.images}/{guest}.{DISK_FORMAT}"

    def is_built(self, file: str, guest: str) -> bool:
        """Return whether a build for the guest may make the file: its disk, or a file that begins with that name."""
        disk = self.disk(guest)
        return file == disk or (file.startswith(f"{disk}.") and "/" not in file.removeprefix(disk))

    def is_snapshot_file(self, file: str, guest: str) -> bool:
        """Return whether a snapshot of the guest's disk may make the file: an overlay beside the disk, or memory."""
        start = f"{self.images}/{guest}."
        return file.startswith(start) and "/" not in file.removeprefix(start) and file != self.disk(guest)

    def console_log(self, guest: str) -> str:
        """Return the path of the log of a guest's console; empty if libvirt is not the system instance."""
        return f"{_LOGS}/{guest}.serial" if self.is_system else ""

    def is_nvram(self, file: str, guest: str) -> bool:
        """Return whether libvirt chose the path of a guest's NVRAM file."""
        directory, _, name = file.rpartition("/")
        is_ours = directory == _NVRAM if self.is_system else directory.endswith(_ANY_NVRAM)
        return is_ours and name in (f"{guest}_VARS.fd", f"{guest}_VARS.qcow2")
