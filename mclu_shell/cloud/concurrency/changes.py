"""Changes to many items in parallel: each one that has begun is finished; an interrupt begins no further one."""

from collections.abc import Callable, Generator, Iterable
from contextvars import ContextVar
from typing import TypeVar

from mclu_shell.cloud.concurrency.answers import answer_of
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.fanout import Outcome, start_all, take
from mclu_shell.errors import Interrupted
from mclu_shell.signals import deferred

Item = TypeVar("Item")
Value = TypeVar("Value")


class _Change:
    """The change of one item. It begins with its first step that changes anything."""

    def __init__(self, scope: CancelScope, place: str, subject: str) -> None:
        self._scope = scope
        self.place = place
        self._subject = subject
        self._has_begun = False

    def require_may_begin(self) -> None:
        """Raise Interrupted if it has not begun before the interrupt."""
        if not self._has_begun and self._scope.is_cancelled:
            fact = f"{self._subject} not changed: interrupted".lstrip()
            raise Interrupted(fact, place=self.place, guest=self._subject)

    def begin(self) -> None:
        """Mark the change as begun, if it may begin."""
        self.require_may_begin()
        self._has_begun = True


# The change that this thread makes.
_current: ContextVar[_Change | None] = ContextVar("change", default=None)


def begin_change() -> None:
    """Mark the change that this thread makes as begun; raise Interrupted if an interrupt came before.

    Everything that changes a node calls it first. It does nothing outside `carry_out`.
    """
    change = _current.get()
    if change is not None:
        change.begin()


def require_may_begin() -> None:
    """Raise Interrupted if the change that this thread makes has not begun before an interrupt; see `begin_change`."""
    change = _current.get()
    if change is not None:
        change.require_may_begin()


def carry_out(
    items: Iterable[Item],
    change: Callable[[Item], Value],
    name: Callable[[Item], tuple[str, str]],
    scope: CancelScope | None = None,
) -> Generator[Outcome[Item, Value], None, None]:
    """Call `change` for all items in parallel, and yield an outcome for each, in the order of their completion.

    `name` returns the place and the subject of an item for errors; the subject is empty for a node. After an interrupt,
    which also cancels `scope`, changes that have begun are finished and the others fail with Interrupted. All outcomes
    are yielded before the interrupt takes effect. If the consumer ends early, it waits for the changes that have begun.
    """
    order = list(items)
    scope = scope or CancelScope()

    def make(item: Item) -> Value:
        current = _Change(scope, *name(item))
        _current.set(current)
        current.require_may_begin()
        with answer_of(current.place):
            return change(item)

    left, defect = len(order), None
    with deferred(scope.cancel):
        results = start_all(order, make)
        try:
            while left:
                result = take(results)
                left -= 1
                if isinstance(result, BaseException):
                    defect = result
                elif result.error is not None:
                    yield result._replace(error=result.error.about(name(result.item)[1]))
                else:
                    yield result
        finally:
            scope.cancel()
            for _ in range(left):
                take(results)
    if defect is not None:
        raise defect
