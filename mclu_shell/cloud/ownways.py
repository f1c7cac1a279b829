"""Making the ways to nodes that mclu opens itself; what they need is imported with the first."""

from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.transport.base import Access
from mclu_shell.config import NodeConfig

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.openssh.config import SSHConfig


class OwnWays:
    """Makes them for all nodes of a cloud, which share what is read of the user's SSH configuration."""

    def __init__(self) -> None:
        self._ssh_config: SSHConfig | None = None

    def make(self, node: NodeConfig, path: Path) -> Access:
        """The way that a node's configuration asks for; `path` is for its socket here."""
        if node.via == "local":
            from mclu_shell.cloud.transport.local import LocalAccess

            return LocalAccess(node, path)
        from mclu_shell.cloud.transport.openssh.config import SSHConfig
        from mclu_shell.cloud.transport.remote import SSHAccess

        self._ssh_config = self._ssh_config or SSHConfig()
        return SSHAccess(node, path, self._ssh_config)
