import threading
import time
from functools import partial

import pytest

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.errors import NodeOff

LIMIT_S = 10.0


def run_in_thread(scope: CancelScope) -> tuple[threading.Thread, list[BaseException], threading.Event]:
    """Run a call in a scope that only the returned event ends; collect its error."""
    errors: list[BaseException] = []
    begun, release = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        release.wait(LIMIT_S)

    def run() -> None:
        try:
            scope.run(call)
        except TimeoutError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(LIMIT_S)
    return thread, errors, release


def test_a_call_past_the_deadline_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mclu_shell.cloud.concurrency.cancel_scope._LAST_ANSWER_S", 0.0)
    release, ended = threading.Event(), threading.Event()

    def call() -> bool:
        done = release.wait(LIMIT_S)
        ended.set()
        return done

    with pytest.raises(TimeoutError):
        CancelScope(0.05).run(call)
    # It runs to its end; its result is discarded.
    release.set()
    assert ended.wait(LIMIT_S)
    assert CancelScope(LIMIT_S).run(call)


def test_a_call_at_the_deadline_has_time_for_its_answer() -> None:
    scope = CancelScope(0.0)
    assert scope.is_over
    assert scope.run(lambda: "answer") == "answer"


@pytest.mark.parametrize("error", [NodeOff("ham0"), KeyError("a defect")])
def test_an_error_in_time_is_raised(error: BaseException) -> None:
    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(type(error)):
        CancelScope(LIMIT_S).run(partial(fail, error))


def test_cancelling_ends_a_call_at_once() -> None:
    scope = CancelScope(60)
    thread, errors, release = run_in_thread(scope)
    scope.cancel()
    thread.join(LIMIT_S)
    release.set()
    assert [type(error) for error in errors] == [TimeoutError]


def test_a_cancelled_scope_runs_no_call() -> None:
    scope = CancelScope(60)
    scope.cancel()
    calls: list[bool] = []
    with pytest.raises(TimeoutError):
        scope.run(lambda: calls.append(True))
    assert (calls, scope.is_over) == ([], True)


def test_cancelling_ends_every_wait() -> None:
    scope = CancelScope(60)
    ready = threading.Barrier(3, timeout=LIMIT_S)

    def wait() -> None:
        with scope.waiter() as waiter:
            ready.wait()
            scope.wait(waiter, 60)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    scope.cancel()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_a_wait_ends_with_its_event_its_own_timeout_or_the_deadline() -> None:
    started = time.monotonic()
    scope = CancelScope(60)
    with scope.waiter() as waiter:
        scope.wait(waiter, 0.01)
        waiter.set()
        scope.wait(waiter, 60)
    short = CancelScope(0.05)
    with short.waiter() as waiter:
        short.wait(waiter, 60)
    assert time.monotonic() - started < LIMIT_S


def test_a_limit_ends_with_its_own_deadline_and_leaves_the_outer_scope() -> None:
    outer = CancelScope()
    inner = outer.limit(0.0)
    assert (inner.is_over, inner.is_cancelled) == (True, False)
    inner.cancel()
    assert (inner.is_cancelled, outer.is_over) == (True, False)


def test_a_limit_is_over_at_the_deadline_of_the_outer_scope() -> None:
    inner = CancelScope(0.0).limit(60)
    assert (inner.is_over, inner.is_cancelled, inner.timeout_s) == (True, False, 60)


def test_cancelling_the_outer_scope_ends_sleeps_and_calls_in_its_limits() -> None:
    outer = CancelScope()
    thread, errors, release = run_in_thread(outer.limit(60))
    sleeper = threading.Thread(target=outer.limit(60).limit(60).sleep, args=(60,), daemon=True)
    sleeper.start()
    outer.cancel()
    for each in (thread, sleeper):
        each.join(LIMIT_S)
        assert not each.is_alive()
    release.set()
    assert [type(error) for error in errors] == [TimeoutError]


def test_a_sleep_ends_with_its_own_timeout_or_the_deadline() -> None:
    started = time.monotonic()
    CancelScope().sleep(0.1)
    CancelScope(0.1).sleep(60)
    assert 0.2 <= time.monotonic() - started < LIMIT_S
