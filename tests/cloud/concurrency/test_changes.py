import os
import signal
import threading

import pytest

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.changes import begin_change, carry_out
from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.errors import Defect, Interrupted, MCluError, NodeOff
from mclu_shell.output.schema.error import error_record
from mclu_shell.signals import ENDING, handled, interrupt_status, raise_for

LIMIT_S = 10.0


def name(item: str) -> tuple[str, str]:
    return "ham0", item


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Started:
    """Changes of which `begun` begin at once, and wait for `release`; the others wait for the interrupt."""

    def __init__(self, begun: int) -> None:
        self.all_begun = threading.Barrier(begun + 1, timeout=LIMIT_S)
        self.release = threading.Event()
        self.scope = CancelScope()
        self.done: list[str] = []

    def change(self, item: str) -> str:
        if item.startswith("late"):
            self.scope.sleep(LIMIT_S)
            assert self.scope.is_cancelled
        begin_change()
        if item.startswith("slow"):
            self.all_begun.wait()
            assert self.release.wait(LIMIT_S)
        # Another step of a change that has begun.
        begin_change()
        self.done.append(item)
        return item


def test_an_interrupt_begins_no_change_and_finishes_those_that_have_begun() -> None:
    started = Started(2)
    outcomes = carry_out(["quick", "slow1", "slow2", "late"], started.change, name, started.scope)
    assert next(outcomes).value == "quick"
    started.all_begun.wait()
    interrupt()
    late = next(outcomes)
    assert (late.item, str(late.error)) == ("late", "ham0: late not changed: interrupted")
    assert isinstance(late.error, Interrupted)
    started.release.set()
    assert {next(outcomes).value, next(outcomes).value} == {"slow1", "slow2"}
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert sorted(started.done) == ["quick", "slow1", "slow2"]


def test_a_consumer_that_ends_early_waits_for_the_changes_that_have_begun() -> None:
    started = Started(1)
    outcomes = carry_out(["quick", "slow", "late"], started.change, name, started.scope)
    assert next(outcomes).value == "quick"
    started.all_begun.wait()
    threading.Timer(0.1, started.release.set).start()
    outcomes.close()
    assert sorted(started.done) == ["quick", "slow"]


def test_a_defect_in_one_change_does_not_end_the_others() -> None:
    started = Started(1)

    def change(item: str) -> str:
        if item == "broken":
            raise Defect
        return started.change(item)

    outcomes = carry_out(["broken", "slow"], change, name)
    started.release.set()
    threading.Thread(target=started.all_begun.wait, daemon=True).start()
    assert next(outcomes).value == "slow"
    with pytest.raises(Defect):
        next(outcomes)


def test_a_call_within_a_change_is_part_of_it() -> None:
    scope, begun = CancelScope(), threading.Event()

    def change(_item: str) -> list[object]:
        begin_change()
        begun.set()
        scope.sleep(LIMIT_S)
        assert scope.is_cancelled
        return [outcome.error for outcome in gather(["a", "b"], lambda _: begin_change())]

    outcomes = carry_out(["one"], change, name, scope)

    def cancel() -> None:
        begun.wait(LIMIT_S)
        scope.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    assert next(outcomes).value == [None, None]


def test_signals_have_their_own_handlers_again_after_the_changes() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert [outcome.value for outcome in carry_out(["a"], str.upper, name)] == ["A"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers


def test_begin_change_does_nothing_outside_of_changes() -> None:
    begin_change()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_has_the_status_of_its_signal_and_the_name_of_its_guest(number: signal.Signals) -> None:
    started = Started(0)
    with handled(ENDING, lambda received, _: raise_for(received)):
        outcomes = carry_out(["quick", "late"], started.change, name, started.scope)
        assert next(outcomes).value == "quick"
        os.kill(os.getpid(), number)
        late = next(outcomes)
        with pytest.raises(KeyboardInterrupt) as interrupt:
            next(outcomes)
    assert late.error is not None
    record = error_record(late.error)
    assert (record.error, record.place, record.guest, record.status) == ("interrupted", "ham0", "late", 128 + number)
    assert interrupt_status(interrupt.value) == record.status


def test_an_error_names_the_guest_of_its_change() -> None:
    fault = NodeOff("ham0")

    def change(item: str) -> None:
        raise fault if item == "web" else MCluError("known already", guest="other")

    guests = {outcome.item: outcome.error.guest for outcome in carry_out(["web", "db"], change, name) if outcome.error}
    assert guests == {"web": "web", "db": "other"}
    # Other guests may have the same error.
    assert fault.guest == ""
