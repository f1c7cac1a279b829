import threading
from functools import partial

import pytest

from mclu_shell.cloud.concurrency.fanout import Outcome, as_completed, first_success, gather, in_order
from mclu_shell.errors import Defect, NodeFault, NodeOff


def test_all_calls_run_in_parallel() -> None:
    together = threading.Barrier(60, timeout=10)
    outcomes = gather(range(60), lambda number: (together.wait(), number)[1])
    assert [outcome.unwrap() for outcome in outcomes] == list(range(60))


def test_outcomes_come_in_the_order_of_completion() -> None:
    release = threading.Event()
    outcomes = as_completed(["slow", "quick"], lambda name: release.wait(10) if name == "slow" else True)
    assert next(outcomes).item == "quick"
    release.set()
    assert next(outcomes) == Outcome("slow", value=True)
    with pytest.raises(StopIteration):
        next(outcomes)


def test_gathered_outcomes_are_in_the_order_of_the_items() -> None:
    first_has_run = threading.Event()

    def ask(name: str) -> str:
        if name == "a":
            assert first_has_run.wait(10)
        first_has_run.set()
        return name

    assert [outcome.item for outcome in gather(["a", "b", "a"[:1]], ask)] == ["a", "b", "a"]


def test_an_error_is_the_outcome_of_its_item() -> None:
    def ask(name: str) -> str:
        if name == "off":
            raise NodeOff(name)
        return name

    good, bad = gather(["on", "off"], ask)
    assert good == Outcome("on", value="on")
    assert isinstance(bad.error, NodeOff)
    assert bad.value is None
    with pytest.raises(NodeFault, match="is off"):
        bad.unwrap()


def test_a_defect_is_raised_in_the_calling_thread() -> None:
    def ask(_name: str) -> None:
        raise Defect

    with pytest.raises(Defect):
        gather(["a", "b"], ask)


def test_no_items_give_no_outcomes() -> None:
    assert gather([], str) == []
    assert list(as_completed([], str)) == []


def test_the_threads_are_daemons() -> None:
    release = threading.Event()
    outcomes = as_completed([1], lambda _item: release.wait(10))
    asking = threading.Thread(target=lambda: next(outcomes), daemon=True)
    asking.start()
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    release.set()
    asking.join(10)
    assert not asking.is_alive()


def test_outcomes_in_order_wait_only_for_earlier_items() -> None:
    release, last = threading.Event(), threading.Event()

    def ask(name: str) -> str:
        if name == "c":
            last.set()
        return name if name != "b" or release.wait(10) else ""

    outcomes = in_order(["a", "b", "c"], ask)
    assert next(outcomes).item == "a"
    assert last.wait(10)
    release.set()
    assert [outcome.item for outcome in outcomes] == ["b", "c"]


def test_the_first_success_is_returned() -> None:
    release = threading.Event()

    def fails() -> str:
        raise NodeOff("ham0")

    assert first_success((lambda: "slow" if release.wait(10) else "", lambda: "quick")) == "quick"
    release.set()
    assert first_success((fails, lambda: "there")) == first_success((lambda: "there", fails)) == "there"


def test_the_last_error_is_raised_without_a_success() -> None:
    def fails(error: NodeFault, *, after: threading.Event | None = None) -> None:
        if after:
            after.wait(10)
        raise error

    late = threading.Event()
    with pytest.raises(NodeOff):
        first_success((partial(fails, NodeFault("x", place="ham0")), partial(fails, NodeOff("ham0"))))
    threading.Timer(0.05, late.set).start()
    with pytest.raises(NodeOff):
        first_success((partial(fails, NodeFault("x", place="ham0"), after=late), partial(fails, NodeOff("ham0"))))
