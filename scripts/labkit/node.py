"""State of a node in the lab's one process."""

import dataclasses
from pathlib import Path

from labkit import lan


@dataclasses.dataclass(slots=True)
class Node:
    """A node, on or off."""

    number: int
    directory: Path
    pid: int = 0  # Its pid 1, in the pid namespace of the lab; 0 while the node is off.
    frozen: str = ""  # "", "node" or "libvirtd".

    @property
    def name(self) -> str:
        """Return the host name."""
        return f"ham{self.number}"

    @property
    def address(self) -> str:
        """Return the IPv4 address."""
        return lan.address_of(self.number)

    @property
    def mac(self) -> str:
        """Return the MAC address."""
        return lan.mac_of(self.number)

    @property
    def host_key(self) -> Path:
        """Return the file of the private SSH host key; the public key is beside it."""
        return self.directory / "etc-ssh/ssh_host_ed25519_key"

    @property
    def libvirt_socket(self) -> Path:
        """Return the path of libvirtd's socket outside the node."""
        return self.directory / "run/libvirt/libvirt-sock"

    @property
    def words(self) -> str:
        """Return the state, as `lab list` shows it."""
        if not self.pid:
            return "off"
        return {"": "on", "node": "frozen", "libvirtd": "on, libvirtd frozen"}[self.frozen]
