"""The same call on many items, each in a thread of its own, with one outcome for each item."""

import contextlib
import contextvars
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from mclu_shell.errors import Defect, MCluError
from mclu_shell.system_faults import fault_of, log_error

Item = TypeVar("Item")
Value = TypeVar("Value")
Result = TypeVar("Result")

_SIGNAL_CHECK_S = 0.2


class Outcome(NamedTuple, Generic[Item, Value]):
    """The result of the call on one item: a value or an error, never both."""

    item: Item
    value: Value | None = None
    error: MCluError | None = None

    def unwrap(self) -> Value:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where Value allows it


def as_completed(items: Iterable[Item], fn: Callable[[Item], Value]) -> Generator[Outcome[Item, Value], None, None]:
    """Call `fn` for all items in parallel, and yield the outcomes in the order of their completion.

    `fn` must end by itself: every remote call has a deadline. Its threads are daemons, so an interrupted command does
    not delay the end of the process. A ThreadPoolExecutor would join them at exit.
    """
    pending = list(items)
    results = start_all(pending, fn)
    for _ in pending:
        result = take(results)
        if isinstance(result, BaseException):
            raise result
        yield result


def start_all(
    items: Iterable[Item], fn: Callable[[Item], Value]
) -> "SimpleQueue[Outcome[Item, Value] | BaseException]":
    """Call `fn` for all items in parallel; return the queue that gets an outcome, or a defect, for each."""
    results: SimpleQueue[Outcome[Item, Value] | BaseException] = SimpleQueue()
    for item in items:
        # A call within a change is part of it (`changes.begin_change`).
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(_run_one, item, fn, results), daemon=True).start()
    return results


def take(results: "SimpleQueue[Result]") -> Result:
    """Return the next result from a queue; signals are handled while waiting."""
    # CPython checks for signals before it begins to wait. A signal in between does not end the wait, so without a
    # timeout Ctrl-C would have no effect until the next result.
    while True:
        with contextlib.suppress(Empty):
            return results.get(timeout=_SIGNAL_CHECK_S)


def in_order(items: Iterable[Item], fn: Callable[[Item], Value]) -> Iterator[Outcome[Item, Value]]:
    """Call `fn` for all items in parallel, and yield the outcomes in the order of the items."""
    order = list(items)
    return reordered(order, as_completed(order, fn))


def reordered(
    order: Iterable[Item], outcomes: Generator[Outcome[Item, Value], None, None]
) -> Iterator[Outcome[Item, Value]]:
    """Yield the outcomes in the order of these items, each as early as possible."""
    by_item: dict[int, Outcome[Item, Value]] = {}
    # A deferred interrupt takes effect when the outcomes end. Python ignores exceptions of a generator that is dropped.
    with contextlib.closing(outcomes):
        for item in order:
            while id(item) not in by_item:
                outcome = next(outcomes)
                by_item[id(outcome.item)] = outcome
            yield by_item[id(item)]


def gather(items: Iterable[Item], fn: Callable[[Item], Value]) -> list[Outcome[Item, Value]]:
    """Call `fn` for all items in parallel, and return the outcomes in the order of the items."""
    return list(in_order(items, fn))


def first_success(calls: Sequence[Callable[[], Value]]) -> Value:
    """Make all calls in parallel; return the first result, or raise the error of the last call if all fail."""
    outcomes: dict[Callable[[], Value], Outcome[Callable[[], Value], Value]] = {}
    for outcome in as_completed(calls, lambda call: call()):
        if outcome.error is None:
            return outcome.unwrap()
        outcomes[outcome.item] = outcome
    return outcomes[calls[-1]].unwrap()


def _run_one(
    item: Item,
    fn: Callable[[Item], Value],
    results: "SimpleQueue[Outcome[Item, Value] | BaseException]",
) -> None:
    try:
        results.put(Outcome(item, value=fn(item)))
    except MCluError as error:
        results.put(Outcome(item, error=error))
    except Defect as error:
        # Raise it in the calling thread instead of losing it with this one.
        results.put(error)
    except Exception as error:  # noqa: BLE001
        # It must not take the outcomes of the other items with it.
        log_error("internal error", error)
        results.put(Outcome(item, error=fault_of(error)))
    except BaseException as error:  # noqa: BLE001
        results.put(error)
