"""Destruction of guests and of the files that belong to them alone."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, TypeAlias

from mclu_shell.cloud.concurrency.changes import carry_out
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.console.log import remove_logs
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan, plan_destroy
from mclu_shell.cloud.guests.files.selection import UNCHECKED
from mclu_shell.cloud.guests.remove_files import Removal, remove_files
from mclu_shell.cloud.guests.survey import Survey, renew_survey
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import Interrupted, MCluError, NotFound, UncheckedFiles

Target: TypeAlias = tuple[Node, Guest]
Destroyed: TypeAlias = "Outcome[Target, DestroyPlan]"
_Batch: TypeAlias = dict[Target, DestroyPlan]

# The guests of a batch are stopped at the same time, and their files are deleted by one command. libvirtd serves five
# requests of a client at a time. After an interrupt, a batch that has begun is finished.
_BATCH = 8
# libvirt waits up to 30 s for a guest that does not stop.
_STOP_TIMEOUT_S = 120.0


def plan_all(
    survey: Survey,
    targets: Iterable[Target],
    confirmed: Mapping[Target, DestroyPlan] | None = None,
    *,
    must_be_checked: bool = False,
) -> tuple[dict[Target, DestroyPlan], list[MCluError]]:
    """Return the plans of guests, and each error once.

    `must_be_checked` turns a plan that keeps a file only because a node cannot be queried into an error.
    """
    plans, errors = {}, []
    for target in targets:
        try:
            plan = plan_destroy(survey, target[1], None if confirmed is None else confirmed[target])
            if must_be_checked:
                _require_checked(target[1], plan)
            plans[target] = plan
        except MCluError as error:
            errors += [] if error in errors else [error]
    return plans, errors


def _require_checked(guest: Guest, plan: DestroyPlan) -> None:
    if plan.unchecked:
        file, reason = next((file, why) for file, why in plan.keep if why.endswith(UNCHECKED))
        raise UncheckedFiles(f"{guest.name} not destroyed: {file} is {reason}", place=guest.node, nodes=plan.unchecked)


def destroy_guests(survey: Survey, plans: Mapping[Target, DestroyPlan]) -> Iterator[Destroyed]:
    """Stop guests, delete their files and undefine them, in this order; yield the files deleted and kept.

    After an MCluError the guest is still defined and can be destroyed again. The nodes work at the same time, but each
    on one batch of guests after another: requests that wait for a node's connection would run into their deadlines.
    """
    locks = {node.name: threading.Lock() for node, _ in plans}
    with closing(carry_out(_batches(plans), lambda batch: _destroy_next(batch, survey, locks), _name)) as outcomes:
        for outcome in outcomes:
            yield from outcome.value or (Outcome(target, error=_reason(target, outcome)) for target in outcome.item)


def _name(batch: _Batch) -> tuple[str, str]:
    (node, guest), *_ = batch
    return node.name, guest.name


def _reason(target: Target, outcome: "Outcome[Any, Any]") -> MCluError | None:
    """Return why a guest of a batch was not changed; an interrupt names only one of them."""
    node, guest = target
    if isinstance(outcome.error, Interrupted):
        return Interrupted(f"{guest.name} not changed: interrupted", place=node.name)
    return outcome.error


def _batches(plans: Mapping[Target, DestroyPlan]) -> Iterator[_Batch]:
    by_node: dict[str, list[tuple[Target, DestroyPlan]]] = {}
    for target, plan in plans.items():
        by_node.setdefault(target[0].name, []).append((target, plan))
    for group in by_node.values():
        yield from (dict(group[start : start + _BATCH]) for start in range(0, len(group), _BATCH))


def _destroy_next(batch: _Batch, survey: Survey, locks: Mapping[str, threading.Lock]) -> list[Destroyed]:
    node, _ = next(iter(batch))
    outcomes: list[Destroyed] = []
    with locks[node.name]:
        try:
            # A guest may have been defined while other batches were destroyed.
            renewed = renew_survey(survey, node, [guest for _, guest in batch])
            plans = (
                batch
                if renewed is survey
                else {target: plan_destroy(renewed, target[1], plan) for target, plan in batch.items()}
            )
            # Outcomes before an error stay in the list.
            outcomes.extend(_destroy_batch(node, plans))
        except MCluError as error:
            finished = {outcome.item for outcome in outcomes}
            failed = [target for target in batch if target not in finished]
            outcomes += [Outcome(target, error=_reason(target, Outcome(target, error=error))) for target in failed]
    return outcomes


def _destroy_batch(node: Node, batch: _Batch) -> Iterator[Destroyed]:
    stopped = []
    for outcome in node.change_guests([guest for _, guest in batch], "stop", _STOP_TIMEOUT_S):
        target = node, outcome.item
        if outcome.error:
            yield Outcome(target, error=outcome.error)
        else:
            stopped.append(target)
    removals = remove_files(node, [batch[target] for target in stopped])
    done: _Batch = {}
    for target, removal in zip(stopped, removals, strict=True):
        if removal.error:
            yield Outcome(target, error=_incomplete(target, removal))
        else:
            done[target] = batch[target].keeping(removal.kept)
    kept_logs = _remove_logs(node, [log for plan in done.values() for log in plan.logs])
    for target, plan in done.items():
        yield _undefine(target, plan, kept_logs)


def _incomplete(target: Target, removal: Removal) -> MCluError:
    node, guest = target
    fact = f"cannot delete all files of {guest.name}, which is now stopped: {removal.error}"
    return MCluError(fact, place=node.name)


def _remove_logs(node: Node, logs: Sequence[str]) -> frozenset[str]:
    """Delete console logs; return those that were kept."""
    return frozenset() if remove_logs(node, logs) else frozenset(logs)


def _undefine(target: Target, plan: DestroyPlan, kept_logs: Iterable[str]) -> Destroyed:
    node, guest = target
    kept = tuple((log, "only root may delete it") for log in plan.logs if log in kept_logs)
    try:
        with suppress(NotFound):  # A guest without a persistent definition is gone once it is stopped.
            node.undefine_guest(guest.name, guest.uuid, plan.nvram, keep_tpm=plan.keeps_tpm)
    except MCluError as error:
        return Outcome(target, error=error)
    return Outcome(target, plan._replace(keep=plan.keep + kept))
