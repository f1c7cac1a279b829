"""The choice between the two kinds of SSH connection: paramiko, which is faster, and OpenSSH, which can do all."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.transport.dial import dial
from mclu_shell.cloud.transport.openssh.askpass import Replies
from mclu_shell.cloud.transport.openssh.config import SSHConfig, Target
from mclu_shell.cloud.transport.ssh.connection import SSHConnection
from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeFault, NodeOff, SSHDown, SSHFault, Unreachable

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.openssh.login import Asker, OpenSSHLogin

_log = logging.getLogger(__name__)

# These faults are the machine's own, for OpenSSH as well.
_FINAL = (NodeOff, SSHDown, Unreachable)


class SSHLogin:
    """The logins of one cloud, with the user's SSH configuration and replies."""

    def __init__(self) -> None:
        self.config = SSHConfig()
        self._replies = Replies()

    def log_in(self, node: NodeConfig, control: Path, deadline: float) -> SSHConnection:
        """Log in without questions; `control` is for OpenSSH's socket. Raise NodeFault."""
        target = self.config.resolve(node)
        reason, fault = _needs_openssh(node, target), None
        if reason is None:
            try:
                return _log_in_with_paramiko(node, target, deadline)
            except NodeFault as error:
                if node.via == "paramiko":
                    raise
                reason, fault = error.fact, error
        if (shared := self._shared(node, target, control)) is not None:
            return shared
        if isinstance(fault, _FINAL):
            raise fault
        _log.debug("%s: via openssh: %s", node.name, reason)
        # After a login with paramiko has failed, the machine is known to be on.
        is_on = fault is not None
        return self._openssh(target, control).log_in(node.connect_timeout, node.answer_timeout, is_on=is_on)

    def _shared(self, node: NodeConfig, target: Target, control: Path) -> SSHConnection | None:
        """Return the connection that the user's own ssh shares, which needs no login; None if there is none."""
        if not target.control_path or not (users := self.config.control_path(node)).exists():
            return None
        from mclu_shell.cloud.transport.openssh.shared_connection import find_shared_connection

        _log.debug("%s: via the user's own ssh: %s", node.name, users)
        return find_shared_connection(target, users, control, node.connect_timeout)

    def log_in_with_prompts(self, node: NodeConfig, control: Path, asker: "Asker") -> SSHConnection:
        """Log in with OpenSSH; `asker` replies to its questions."""
        return self._openssh(self.config.resolve(node), control).log_in_with_prompts(asker)

    def _openssh(self, target: Target, control: Path) -> "OpenSSHLogin":
        from mclu_shell.cloud.transport.openssh.login import OpenSSHLogin

        return OpenSSHLogin(target, control, self._replies)


def _needs_openssh(node: NodeConfig, target: Target) -> str | None:
    """Return why the login needs OpenSSH; None if paramiko comes first. SSHFault if it must not take OpenSSH."""
    if node.via == "openssh":
        return "via=openssh"
    if not target.unsupported:
        return None
    reason = f"the SSH configuration has {', '.join(target.unsupported)}"
    if node.via == "paramiko":
        raise SSHFault(f"paramiko cannot log in: {reason}", place=node.name, remedy="set via=auto in mclu.conf")
    return reason


def _log_in_with_paramiko(node: NodeConfig, target: Target, deadline: float) -> SSHConnection:
    started = time.perf_counter()
    sock = dial(target, node.connect_timeout)
    _log.debug("%s: via paramiko: connect: %.1f ms", node.name, (time.perf_counter() - started) * 1000)
    # A cloud whose nodes are all off does not need paramiko, which takes 50 ms of processor time to import.
    from mclu_shell.cloud.transport.paramiko_ssh.client import ParamikoConnection

    return ParamikoConnection(target, sock, deadline)
