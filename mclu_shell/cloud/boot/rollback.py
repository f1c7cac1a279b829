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
        is_removed = node.run(["rm", "-f", "--", *guest.files]).status == 0
        if guest.serial_log:
            # libvirt may have begun it. If it cannot be removed, it is the next guest's of this name.
            remove_logs(node, [guest.serial_log])
        if state is not None:
            with suppress(NotFound):
                node.change_guest(guest.name, "undefine", guest.uuid)
    except MCluError:
        return False
    return is_removed
