"""Power control of a node that is reached over SSH: Wake-on-LAN, and `poweroff` with sudo."""

from collections.abc import Callable, Sequence

from mclu_shell.cloud.transport.base import PowerControl
from mclu_shell.cloud.transport.dial import dial
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.process import Completed
from mclu_shell.cloud.transport.wake_on_lan import MagicPacket, magic_packet, send_magic_packet
from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeFault, NodeOff, SSHFault, Unreachable

# A user who is not root needs sudo; a non-interactive shell may lack sbin in its PATH.
_POWER_OFF = 'PATH=$PATH:/usr/sbin:/sbin; if [ "$(id -u)" = 0 ]; then poweroff; else sudo -n poweroff; fi'
# Fails with a message if `power_off` would fail.
CAN_POWER_OFF = """
PATH=$PATH:/usr/sbin:/sbin
command -v poweroff >/dev/null || { echo "there is no poweroff"; exit 1; }
[ "$(id -u)" = 0 ] || sudo -n -l poweroff
"""
_TIMEOUT_S = 20.0


class SSHPowerControl(PowerControl):
    """Power control of a node with sshd.

    `target` returns where sshd listens. `run` runs a command there and logs in if needed; it does not need libvirt.
    """

    def __init__(
        self, node: NodeConfig, target: Callable[[], Target], run: Callable[[Sequence[str], float], Completed]
    ) -> None:
        self._node = node
        self._target = target
        self._run = run

    def is_off(self, timeout_s: float, /) -> bool:
        """Return whether nothing answers, not even with a refusal; Unreachable if there is no way to know."""
        try:
            dial(self._target(), timeout_s).close()
        except NodeOff:
            return True
        except Unreachable:
            raise
        except NodeFault:
            return False
        return False

    def packet(self) -> MagicPacket:
        """Return the magic packet."""
        return magic_packet(self._node)

    def wake(self) -> None:
        """Send the magic packet."""
        send_magic_packet(self._node)

    def require_power_off(self) -> None:
        """Check that the user is root on the node, or that sudo runs poweroff without a password."""
        completed = self._run(["sh", "-c", CAN_POWER_OFF], _TIMEOUT_S)
        if completed.status != 0:
            raise self._power_off_failed(completed)

    def power_off(self) -> None:
        """Run poweroff on the node, with sudo if the user is not root."""
        completed = self._run(["sh", "-c", _POWER_OFF], _TIMEOUT_S)
        # -1: the node went down before sshd sent the exit status.
        if completed.status not in (0, -1):
            raise self._power_off_failed(completed)

    def _power_off_failed(self, completed: Completed) -> SSHFault:
        lines = (completed.err or completed.out).strip().splitlines()
        reason = lines[-1] if lines else f"exit status {completed.status}"
        return SSHFault(f"poweroff failed: {reason}", place=self._node.name)
