"""The plans of all guests of one `destroy`, each after those of the guests that use its files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from mclu_shell.cloud.guests.destroy_plan import DestroyPlan, plan_destroy
from mclu_shell.cloud.guests.files.selection import UNCHECKED
from mclu_shell.cloud.guests.leaving import GuestKey, Leaving
from mclu_shell.cloud.guests.survey import Survey
from mclu_shell.cloud.guests.users import find_users
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import MCluError, UncheckedFiles

Target: TypeAlias = tuple[Node, Guest]


def plan_all(
    survey: Survey,
    targets: Iterable[Target],
    confirmed: Mapping[Target, DestroyPlan] | None = None,
    *,
    must_be_checked: bool = False,
) -> tuple[dict[Target, DestroyPlan], list[MCluError]]:
    """Return the plans of guests in the order of these, and each error once.

    A guest that is destroyed, too, is no reason to keep a file. `must_be_checked` turns a plan that keeps a file only
    because a node cannot be queried, or an image cannot be read, into an error.
    """
    order = list(targets)
    plans: dict[Target, DestroyPlan] = {}
    errors: list[MCluError] = []
    leaving = Leaving()
    for target in _users_first(survey, order):
        try:
            plan = plan_destroy(survey, target[1], None if confirmed is None else confirmed[target], leaving)
            if must_be_checked:
                _require_checked(survey, target[1], plan)
        except MCluError as error:
            errors += [] if error in errors else [error]
        else:
            plans[target] = plan
            leaving = leaving.add(key_of(target), plan.keys)
    complete = {target: hide_deleted(survey, target, plans[target], leaving) for target in order if target in plans}
    return complete, errors


def key_of(target: Target) -> GuestKey:
    """Return the node and the UUID of a guest."""
    return target[0].name, target[1].uuid


def _users_first(survey: Survey, targets: Sequence[Target]) -> Iterator[Target]:
    """Yield guests after those that use their files; of guests that use the files of each other, any is first."""
    users = {target: find_users(survey, target[1]) for target in targets}
    left = list(targets)
    while left:
        keys = set(map(key_of, left))
        ready = [target for target in left if not users[target] & keys] or left[:1]
        yield from ready
        left = [target for target in left if target not in ready]


def hide_deleted(survey: Survey, target: Target, plan: DestroyPlan, leaving: Leaving) -> DestroyPlan:
    """Return a plan that lists no file as kept that is deleted with another guest."""
    files = survey.nodes[target[0].name].files
    owners = {file: leaving.files.get((target[0].name, files.key(file))) for file, _ in plan.keep}
    keep = tuple((file, why) for file, why in plan.keep if owners[file] in (None, key_of(target)))
    return plan._replace(keep=keep)


def _require_checked(survey: Survey, guest: Guest, plan: DestroyPlan) -> None:
    if plan.undecided:
        raise survey.nodes[guest.node].describe_unreadable(guest.node, plan.undecided, guest.name)
    if plan.unchecked:
        file, reason = next((file, why) for file, why in plan.keep if why.endswith(UNCHECKED))
        fact = f"{guest.name} not destroyed: {file} is {reason}"
        raise UncheckedFiles(fact, place=guest.node, nodes=plan.unchecked, guest=guest.name)
