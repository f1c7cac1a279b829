import threading
import time

from mclu_shell.cloud.concurrency.deadline import Deadline

LIMIT_S = 10.0


def test_what_is_late_is_ended_and_again_until_it_has_ended() -> None:
    ended = threading.Semaphore(0)
    at = time.monotonic() + 0.1
    with Deadline(at, lambda: ended.release()) as deadline:
        assert not deadline.is_late
        for _ in range(3):
            assert ended.acquire(timeout=LIMIT_S)
        assert time.monotonic() >= at
        assert deadline.is_late
    while ended.acquire(blocking=False):
        pass
    # Later ones ring, this one not any more.
    later = threading.Event()
    with Deadline(time.monotonic() + 0.2, later.set):
        assert later.wait(LIMIT_S)
    assert not ended.acquire(blocking=False)


def test_what_ends_in_time_is_left_alone() -> None:
    rung: list[str] = []
    with Deadline(time.monotonic() + 0.05, lambda: rung.append("left")) as left:
        pass
    later = threading.Event()
    with Deadline(time.monotonic() + 0.15, later.set):
        assert later.wait(LIMIT_S)
    assert (rung, left.is_late) == ([], False)


def test_each_rings_at_its_own_time_in_whatever_order_they_come() -> None:
    rung: list[str] = []
    last = threading.Event()
    now = time.monotonic()
    with (
        Deadline(now + 60, lambda: rung.append("never")),
        Deadline(now + 0.3, last.set),
        Deadline(now + 0.1, lambda: rung.append("first")),
    ):
        assert last.wait(LIMIT_S)
    assert set(rung) == {"first"}


def test_once_it_is_left_the_end_of_it_falls_upon_nothing_else() -> None:
    """Leaving waits for an end that is being made at that moment."""
    begun, go_on, done = threading.Event(), threading.Event(), []

    def end() -> None:
        begun.set()
        go_on.wait(LIMIT_S)
        done.append(True)

    def release() -> None:
        go_on.set()

    with Deadline(time.monotonic(), end):
        assert begun.wait(LIMIT_S)
        threading.Timer(0.1, release).start()
    assert done
