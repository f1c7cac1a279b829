"""Taking a new guest back: nothing of it is left, however its boot has ended."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mclu_shell.cloud.console.log import remove_logs
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.errors import MCluError, NodeFault, NotFound
from mclu_shell.signals import ENDING, handled

# The directory in which libvirt chooses the names of NVRAM files (qemuDomainNVRAMPathFormat).
_NVRAM = "/var/lib/libvirt/qemu/nvram"
# Prints the first file after `disk` that was made after it. A file system without birth times reports 0.
_FIND_NEW = """
born=$(stat -c %W -- "$1" 2>/dev/null); shift
[ "${born:-0}" -gt 0 ] || exit 0
for file; do
    [ ! -f "$file" ] || [ "$(stat -c %W -- "$file")" -lt "$born" ] || { printf '%s\\n' "$file"; exit 0; }
done
"""


@contextmanager
def rollback_on_error(node: Node, guest: DomainSpec) -> Iterator[None]:
    """Take back what was defined and kept, if the block fails or is interrupted; NodeFault if that is not possible."""
    try:
        yield
    except BaseException as error:
        # An impatient second Ctrl-C must not leave half a guest.
        with handled(ENDING, signal.SIG_IGN):
            if _undo(node, guest):
                raise
        why = error.fact if isinstance(error, MCluError) else "interrupted"
        remedy = f"if anything is left of it, {guest_command('destroy', node.name, guest.name)} removes that"
        raise NodeFault(why, place=node.name, remedy=remedy) from error


def _undo(node: Node, guest: DomainSpec) -> bool:
    """Whether nothing is left. By its UUID, because the name may be that of a guest that somebody else has defined."""
    try:
        # Asked first, because an answer to this is not waited for as long as one to a change.
        state = node.query(lambda client: client.fetch_state(guest.name))
        if state is not None:
            with suppress(NotFound):
                node.change_guest(guest.name, "stop", guest.uuid)
        nvram = _find_new_nvram(node, guest)
        is_removed = node.run(["rm", "-f", "--", *guest.files]).status == 0
        if guest.serial_log:
            # libvirt may have begun it. If it cannot be removed, it is the next guest's of this name.
            remove_logs(node, [guest.serial_log])
        if state is not None:
            with suppress(NotFound):
                node.undefine_guest(guest.name, guest.uuid, nvram)
    except MCluError:
        return False
    return is_removed


def _find_new_nvram(node: Node, guest: DomainSpec) -> str:
    """Return the NVRAM file that libvirt made for the guest; empty if there is none, or an earlier guest has left it."""
    names = [f"{_NVRAM}/{guest.name}_VARS.{suffix}" for suffix in ("fd", "qcow2")]
    return node.run_read_only(["sh", "-c", _FIND_NEW, "sh", guest.output, *names]).out.strip()
