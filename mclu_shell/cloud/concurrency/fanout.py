"""The same question to many at once: an outcome for each, and none holds back the others."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from mclu_shell.errors import MCluError

Item = TypeVar("Item")
Value = TypeVar("Value")
Result = TypeVar("Result")

_LOOK_FOR_SIGNALS_S = 0.2


class Outcome(NamedTuple, Generic[Item, Value]):
    """What came of one item: a value or an error, never both."""

    item: Item
    value: Value | None = None
    error: MCluError | None = None

    def unwrap(self) -> Value:
        """The value, or its error raised."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where Value allows it


def as_completed(items: Iterable[Item], fn: Callable[[Item], Value]) -> Iterator[Outcome[Item, Value]]:
    """Ask all at once, a thread each; outcomes come in the order in which they are there.

    `ask` must end by itself (every remote call has a deadline). Threads are daemons, so that an interrupted
    command does not keep the process: a ThreadPoolExecutor would join them at exit.
    """
    results: SimpleQueue[Outcome[Item, Value] | BaseException] = SimpleQueue()
    asked = list(items)
    for item in asked:
        threading.Thread(target=_run_one, args=(item, fn, results), daemon=True).start()
    for _ in asked:
        result = _next(results)
        if isinstance(result, BaseException):
            raise result
        yield result


def _next(results: "SimpleQueue[Result]") -> Result:
    # CPython looks for signals before it begins to wait: one that comes in between would end no wait, and the user's
    # Ctrl-C would be lost until an answer comes.
    while True:
        with contextlib.suppress(Empty):
            return results.get(timeout=_LOOK_FOR_SIGNALS_S)


def in_order(items: Iterable[Item], fn: Callable[[Item], Value]) -> Iterator[Outcome[Item, Value]]:
    """Ask all at once; each outcome as soon as it and those of the items before it are there."""
    asked = list(items)
    coming = as_completed(asked, fn)
    there: dict[int, Outcome[Item, Value]] = {}
    for item in asked:
        while id(item) not in there:
            outcome = next(coming)
            there[id(outcome.item)] = outcome
        yield there[id(item)]


def gather(items: Iterable[Item], fn: Callable[[Item], Value]) -> list[Outcome[Item, Value]]:
    """Ask all at once; the outcomes in the order of the items."""
    return list(in_order(items, fn))


def first_success(works: Sequence[Callable[[], Value]]) -> Value:
    """What that of several comes to, all begun at once, that succeeds first; the last one's error if none does."""
    outcomes: dict[Callable[[], Value], Outcome[Callable[[], Value], Value]] = {}
    for outcome in as_completed(works, lambda work: work()):
        if outcome.error is None:
            return outcome.unwrap()
        outcomes[outcome.item] = outcome
    return outcomes[works[-1]].unwrap()


def _run_one(
    item: Item,
    fn: Callable[[Item], Value],
    results: "SimpleQueue[Outcome[Item, Value] | BaseException]",
) -> None:
    try:
        results.put(Outcome(item, value=fn(item)))
    except MCluError as error:
        results.put(Outcome(item, error=error))
    except BaseException as error:  # noqa: BLE001
        # A defect of ours: it must surface in the asking thread, not vanish with this one.
        results.put(error)
