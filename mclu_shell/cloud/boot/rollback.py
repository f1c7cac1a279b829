"""The rollback of a failed boot: it removes the guest and all its files."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mclu_shell.cloud.console.log import remove_logs
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.errors import MCluError, NodeFault, NotFound
from mclu_shell.signals import ENDING, handled


@contextmanager
def rollback_on_error(node: Node, guest: DomainSpec) -> Iterator[None]:
    """Remove a new guest if the block fails or is interrupted; raise NodeFault if that fails, too."""
    try:
        yield
    except BaseException as error:
        # A second Ctrl-C must not leave half a guest.
        with handled(ENDING, signal.SIG_IGN):
            if _remove(node, guest):
                raise
        fact = error.fact if isinstance(error, MCluError) else "interrupted"
        remedy = f"run {guest_command('destroy', node.name, guest.name)} to remove anything left of it"
        raise NodeFault(fact, place=node.name, remedy=remedy) from error


def _remove(node: Node, guest: DomainSpec) -> bool:
    """Remove the guest and its files; return whether nothing is left.

    The UUID identifies the guest, because another program may have defined one of the same name.
    """
    try:
        # This query fails early if libvirtd does not answer: its timeout is shorter than that of a change.
        state = node.query(lambda client: client.fetch_state(guest.name))
        if state is not None:
            with suppress(NotFound):
                node.change_guest(guest.name, "stop", guest.uuid)
        is_removed = node.run(["rm", "-f", "--", *guest.files]).status == 0
        if guest.serial_log:
            # libvirt may have created the log. If it cannot be removed, the next guest of this name overwrites it.
            remove_logs(node, [guest.serial_log])
        if state is not None:
            with suppress(NotFound):
                node.change_guest(guest.name, "undefine", guest.uuid)
    except MCluError:
        return False
    return is_removed
