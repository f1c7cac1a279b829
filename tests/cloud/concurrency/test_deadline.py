import threading
import time

from mclu_shell.cloud.concurrency.deadline import Deadline

LIMIT_S = 10.0


def test_a_late_call_is_interrupted_again_until_it_ends() -> None:
    interrupts = threading.Semaphore(0)
    at = time.monotonic() + 0.1
    with Deadline(at, interrupts.release) as deadline:
        assert not deadline.is_late
        for _ in range(3):
            assert interrupts.acquire(timeout=LIMIT_S)
        assert time.monotonic() >= at
        assert deadline.is_late
    while interrupts.acquire(blocking=False):
        pass
    # Other deadlines pass, this one no longer interrupts.
    later = threading.Event()
    with Deadline(time.monotonic() + 0.2, later.set):
        assert later.wait(LIMIT_S)
    assert not interrupts.acquire(blocking=False)


def test_a_call_that_ends_in_time_is_not_interrupted() -> None:
    interrupts: list[str] = []
    with Deadline(time.monotonic() + 0.05, lambda: interrupts.append("left")) as left:
        pass
    later = threading.Event()
    with Deadline(time.monotonic() + 0.15, later.set):
        assert later.wait(LIMIT_S)
    assert (interrupts, left.is_late) == ([], False)


def test_deadlines_expire_in_the_order_of_their_times() -> None:
    interrupts: list[str] = []
    last = threading.Event()
    now = time.monotonic()
    with (
        Deadline(now + 60, lambda: interrupts.append("never")),
        Deadline(now + 0.3, last.set),
        Deadline(now + 0.1, lambda: interrupts.append("first")),
    ):
        assert last.wait(LIMIT_S)
    assert set(interrupts) == {"first"}


def test_leaving_the_block_waits_for_an_interrupt_in_progress() -> None:
    """A late interrupt must not hit the next call."""
    begun, release, done = threading.Event(), threading.Event(), []

    def interrupt() -> None:
        begun.set()
        release.wait(LIMIT_S)
        done.append(True)

    with Deadline(time.monotonic(), interrupt):
        assert begun.wait(LIMIT_S)
        threading.Timer(0.1, release.set).start()
    assert done


def test_an_interrupt_that_blocks_does_not_delay_another_deadline() -> None:
    begun, release, other = threading.Event(), threading.Event(), threading.Event()

    def interrupt() -> None:
        begun.set()
        release.wait(LIMIT_S)

    with Deadline(time.monotonic(), interrupt):
        assert begun.wait(LIMIT_S)
        with Deadline(time.monotonic(), other.set):
            is_interrupted = other.wait(LIMIT_S)
        release.set()
    assert is_interrupted
