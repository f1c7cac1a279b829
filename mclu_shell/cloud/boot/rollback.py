"""The rollback of a failed boot: it removes the guest and all its files."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mclu_shell.cloud.boot.build import Build
from mclu_shell.cloud.boot.definition import Definition
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
def rollback_on_error(node: Node, guest: DomainSpec, definition: Definition, build: Build) -> Iterator[None]:
    """Remove a new guest if the block fails or is interrupted; raise NodeFault if that fails, too."""
    try:
        yield
    except BaseException as error:
        # A second Ctrl-C must not leave half a guest.
        with handled(ENDING, signal.SIG_IGN):
            if not definition.may_exist:
                # The node deletes the files itself, even if libvirt does not answer.
                build.confirm_undefined()
            if _remove(node, guest, definition):
                build.confirm_undefined()
                raise
        fact = error.fact if isinstance(error, MCluError) else "interrupted"
        remedy = f"run {guest_command('destroy', node.name, guest.name)} to remove anything left of it"
        raise NodeFault(fact, place=node.name, remedy=remedy) from error


def _remove(node: Node, guest: DomainSpec, definition: Definition) -> bool:
    """Remove the guest, then its files; return whether nothing is left.

    The UUID identifies the guest, because another program may have defined one of the same name. The disk stays while
    libvirt has the guest or may still define it.
    """
    try:
        # This query fails early if libvirtd does not answer: its timeout is shorter than that of a change.
        exists = definition.exists() or definition.settle()
        if not exists and definition.is_unknown:
            return False
        nvram = _find_new_nvram(node, guest)
        if exists:
            with suppress(NotFound):
                node.change_guest(guest.name, "stop", guest.uuid)
                node.undefine_guest(guest.name, guest.uuid, nvram)
        is_removed = node.run(["rm", "-f", "--", *guest.files]).status == 0
        if guest.serial_log:
            # libvirt may have created the log. If it cannot be removed, the next guest of this name overwrites it.
            remove_logs(node, [guest.serial_log])
    except MCluError:
        return False
    return is_removed


def _find_new_nvram(node: Node, guest: DomainSpec) -> str:
    """Return the NVRAM file that libvirt made for the guest; empty if it has none, or it is an earlier guest's."""
    names = [f"{_NVRAM}/{guest.name}_VARS.{suffix}" for suffix in ("fd", "qcow2")]
    return node.run_read_only(["sh", "-c", _FIND_NEW, "sh", guest.output, *names]).out.strip()
