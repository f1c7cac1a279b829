"""Destruction of guests and of the files that belong to them alone."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from mclu_shell.cloud.concurrency.changes import carry_out
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.console.log import remove_logs
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan, plan_destroy
from mclu_shell.cloud.guests.destroy_plans import Target, hide_deleted, key_of
from mclu_shell.cloud.guests.leaving import GuestKey, Leaving
from mclu_shell.cloud.guests.order import Results, find_ranks
from mclu_shell.cloud.guests.remove_files import Removal, remove_files
from mclu_shell.cloud.guests.survey import Survey, renew_survey
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import Interrupted, MCluError, NotFound, Refused

Destroyed: TypeAlias = "Outcome[Target, DestroyPlan]"
_Batch: TypeAlias = dict[Target, DestroyPlan]

# The guests of a batch are stopped at the same time, and their files are deleted by one command. libvirtd serves five
# requests of a client at a time. After an interrupt, a batch that has begun is finished.
_BATCH = 8
# libvirt waits up to 30 s for a guest that does not stop.
_STOP_TIMEOUT_S = 120.0


def destroy_guests(survey: Survey, plans: Mapping[Target, DestroyPlan]) -> Iterator[Destroyed]:
    """Stop guests, delete their files and undefine them, in this order; yield the files deleted and kept.

    After an MCluError the guest is still defined and can be destroyed again. The nodes work at the same time, but each
    on one batch of guests after another: requests that wait for a node's connection would run into their deadlines.
    """
    locks = {node.name: threading.Lock() for node, _ in plans}
    results = Results()
    planned = Leaving()
    for target, plan in plans.items():
        planned = planned.add(key_of(target), plan.keys)

    def destroy(batch: _Batch) -> list[Destroyed]:
        with results.recorded(map(key_of, batch)):
            return _destroy_next(batch, survey, locks, results, planned)

    with closing(carry_out(_batches(plans), destroy, _name)) as outcomes:
        for outcome in outcomes:
            yield from map(_named, outcome.value or ())
            if outcome.error is not None:
                yield from (Outcome(target, error=_reason(target, outcome)) for target in outcome.item)


def _name(batch: _Batch) -> tuple[str, str]:
    (node, _), *_ = batch
    # An error of a batch concerns all its guests.
    return node.name, ""


def _named(outcome: Destroyed) -> Destroyed:
    """Return an outcome whose error names its guest."""
    return outcome if outcome.error is None else outcome._replace(error=outcome.error.about(outcome.item[1].name))


def _reason(target: Target, outcome: "Outcome[Any, Any]") -> MCluError | None:
    """Return why a guest of a batch was not changed; an interrupt names only one of them."""
    node, guest = target
    if isinstance(outcome.error, Interrupted):
        return Interrupted(f"{guest.name} not changed: interrupted", place=node.name, guest=guest.name)
    return outcome.error and outcome.error.about(guest.name)


def _batches(plans: Mapping[Target, DestroyPlan]) -> Iterator[_Batch]:
    """Yield the guests of each node in batches, after the batches of those that use their files."""
    groups: dict[tuple[int, str], list[tuple[Target, DestroyPlan]]] = {}
    ranks = find_ranks({key_of(target): plan.after for target, plan in plans.items()})
    for target, plan in plans.items():
        groups.setdefault((ranks[key_of(target)], target[0].name), []).append((target, plan))
    for _, group in sorted(groups.items(), key=lambda item: item[0][0]):
        yield from (dict(group[start : start + _BATCH]) for start in range(0, len(group), _BATCH))


def _destroy_next(
    batch: _Batch, survey: Survey, locks: Mapping[str, threading.Lock], results: Results, planned: Leaving
) -> list[Destroyed]:
    node, _ = next(iter(batch))
    outcomes: list[Destroyed] = []
    try:
        results.wait_for({key for plan in batch.values() for key in plan.after})
        outcomes += [
            Outcome(target, error=_not_alone(target, survey, user))
            for target, plan in batch.items()
            if (user := results.failed(plan.after))
        ]
        refused = {outcome.item for outcome in outcomes}
        with locks[node.name]:
            plans = {target: batch[target] for target in batch if target not in refused}
            plans = _renew(plans, survey, results, planned)
            # Outcomes before an error stay in the list.
            for outcome in _destroy_batch(node, plans):
                outcomes.append(outcome)
                results.add(key_of(outcome.item), outcome.value)
    except MCluError as error:
        finished = {outcome.item for outcome in outcomes}
        failed = [target for target in batch if target not in finished]
        outcomes += [Outcome(target, error=_reason(target, Outcome(target, error=error))) for target in failed]
    return outcomes


def _not_alone(target: Target, survey: Survey, user: GuestKey) -> MCluError:
    """Return the error for a guest whose files another one needs that was not destroyed."""
    node, guest = target
    name = survey.nodes[user[0]].definitions[user[1]].name
    fact = f"{guest.name} not destroyed: {user[0]}:{name}, which was not destroyed, uses its files"
    return Refused(fact, place=node.name)


def _renew(batch: _Batch, survey: Survey, results: Results, planned: Leaving) -> _Batch:
    """Return the plans for the present state of the node, and for the files that have really been deleted."""
    if not batch:
        return batch
    node, _ = next(iter(batch))
    # A guest may have been defined while other batches were destroyed.
    renewed = renew_survey(survey, node, [guest for _, guest in batch])
    plans = {}
    for target, plan in batch.items():
        leaving = results.leaving(plan.after)
        # Only the first survey knows all files that the destroyed guests used.
        if plan.after:
            plan = plan_destroy(survey, target[1], plan, leaving)
        plan = plan if renewed is survey else plan_destroy(renewed, target[1], plan, leaving)
        plans[target] = hide_deleted(renewed, target, plan, planned)
    return plans


def _destroy_batch(node: Node, batch: _Batch) -> Iterator[Destroyed]:
    stopped: list[Target] = []
    guests = [guest for _, guest in batch]
    for outcome in node.change_guests(guests, "stop", _STOP_TIMEOUT_S) if guests else ():
        target = node, outcome.item
        if outcome.error:
            gone = isinstance(outcome.error, NotFound)
            yield Outcome(target, error=_gone(target) if gone else outcome.error)
        else:
            stopped.append(target)
    removals = remove_files(node, [batch[target] for target in stopped])
    done: _Batch = {}
    for target, removal in zip(stopped, removals, strict=True):
        if removal.error:
            yield Outcome(target, error=_incomplete(target, removal))
        else:
            done[target] = batch[target].keeping(removal.kept).without(removal.gone)
    kept_logs = _remove_logs(node, [log for plan in done.values() for log, _ in plan.logs])
    for target, plan in done.items():
        yield _undefine(target, plan, kept_logs)


def _gone(target: Target, deleted: Sequence[str] = ()) -> MCluError:
    """Return the error for a guest that something else, such as a second `destroy`, has removed at the same time."""
    node, guest = target
    more = f", after this command had deleted {' and '.join(deleted)}" if deleted else ""
    error = NotFound(f"{guest.name} is gone: it was removed elsewhere{more}", place=node.name)
    error.guest = guest.name
    return error


def _incomplete(target: Target, removal: Removal) -> MCluError:
    node, guest = target
    fact = f"cannot delete all files of {guest.name}, which is now stopped: {removal.error}"
    return MCluError(fact, place=node.name)


def _remove_logs(node: Node, logs: Sequence[str]) -> frozenset[str]:
    """Delete console logs; return those that were kept."""
    return frozenset() if remove_logs(node, logs) else frozenset(logs)


def _undefine(target: Target, plan: DestroyPlan, kept_logs: Iterable[str]) -> Destroyed:
    node, guest = target
    kept = tuple((log, "only root may delete it") for log, _ in plan.logs if log in kept_logs)
    try:
        node.undefine_guest(guest.name, guest.uuid, plan.nvram, keep_tpm=plan.keeps_tpm)
    except NotFound:
        # A guest without a persistent definition is gone once it is stopped.
        if plan.is_persistent:
            return Outcome(target, error=_gone(target, [file for file, _ in plan.delete]))
    except MCluError as error:
        return Outcome(target, error=error)
    return Outcome(target, plan._replace(keep=plan.keep + kept, logs=() if kept else plan.logs))
