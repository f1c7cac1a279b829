"""Destruction of a guest and of the files that belong to it alone."""

from contextlib import suppress

from mclu_shell.cloud.console.log import remove_logs
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan, plan_destroy
from mclu_shell.cloud.guests.other_nodes import OtherNodes, require_all_answered
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import MCluError, NotFound


def destroy(node: Node, guest: Guest, elsewhere: OtherNodes, confirmed: DestroyPlan | None = None) -> DestroyPlan:
    """Stop a guest, delete its files and undefine it, in this order; return the files deleted and kept.

    After an MCluError the guest is still defined and can be destroyed again. The plan is made again here, because
    another guest may have begun to use a file. With `confirmed`, no file outside that plan is deleted.
    """
    if confirmed is None:
        require_all_answered(node, guest, elsewhere)
    plan = plan_destroy(node, guest, elsewhere, confirmed)
    node.change_guest(guest.name, "stop", guest.uuid)
    _delete_files(node, guest, [file for file, _ in plan.delete])
    if not remove_logs(node, plan.logs):
        kept = tuple((log, "only root may delete it") for log in plan.logs)
        plan = plan._replace(keep=plan.keep + kept)
    with suppress(NotFound):  # A guest without a persistent definition is gone once it is stopped.
        node.change_guest(guest.name, "undefine", guest.uuid)
    return plan


def _delete_files(node: Node, guest: Guest, files: list[str]) -> None:
    if not files:
        return
    done = node.run(["rm", "-f", "--", *files])
    if done.status != 0:
        messages = done.err.strip().splitlines()
        reason = messages[-1] if messages else f"exit status {done.status}"
        raise MCluError(f"cannot delete all files of {guest.name}, which is now stopped: {reason}", place=node.name)
