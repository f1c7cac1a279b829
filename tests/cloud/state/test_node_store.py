import threading
import tracemalloc

import pytest

from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeInfo, NodeReport
from mclu_shell.cloud.state.node_store import NodeStore
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase

INFO = NodeInfo(8, 32 << 30, 16 << 30)


def guest(name: str, state: str = "running", *addresses: str) -> Guest:
    return Guest("ham0", name, f"uuid-of-{name}", state, 1 << 30, 1, addresses)


def addresses(store: NodeStore) -> tuple[str, ...]:
    return store.view.guests[0].addresses


def states(store: NodeStore) -> dict[str, str]:
    return {guest.name: guest.state for guest in store.view.guests}


def test_a_list_keeps_the_guests_that_it_does_not_cover() -> None:
    store = NodeStore("ham0")
    store.apply_guests((guest("db"), guest("old", "shut off"), guest("web")), None, store.event_count)
    # db has stopped; the list does not cover inactive guests.
    store.apply_guests((guest("web"),), True, store.event_count)
    assert states(store) == {"old": "shut off", "web": "running"}
    store.apply_guests((guest("db", "shut off"), guest("old", "shut off")), False, store.event_count)
    assert states(store) == {"db": "shut off", "old": "shut off", "web": "running"}


def test_half_is_set_until_both_halves_are_known() -> None:
    store = NodeStore("ham0")
    store.apply_guests((guest("web"),), True, store.event_count)
    store.apply_guests((guest("web"),), True, store.event_count)
    assert store.view.half is True
    store.apply_guests((), False, store.event_count)
    assert store.view.half is None
    store.apply_guests((guest("web"),), True, store.event_count)
    assert store.view.half is None
    other = NodeStore("ham0")
    other.apply_guests((), False, other.event_count)
    assert other.view.half is False
    other.apply_report(NodeReport(INFO, (guest("web"),)), other.event_count)
    assert other.view.half is None


def test_an_address_is_kept_while_its_guest_runs() -> None:
    store = NodeStore("ham0")
    store.apply_guests((guest("web", "running", "10.0.0.9"),), None, store.event_count)
    store.apply_guests((guest("web"),), None, store.event_count)
    assert addresses(store) == ("10.0.0.9",)
    store.apply_report(NodeReport(INFO, (guest("web"),)), store.event_count)
    assert addresses(store) == ("10.0.0.9",)
    store.apply_event(GuestEvent("uuid-of-web", "web", "shut off"))
    assert addresses(store) == ()


def test_an_event_changes_its_guest() -> None:
    store = NodeStore("ham0")
    store.apply_report(NodeReport(INFO, (guest("db"), guest("web"))), store.event_count)
    store.apply_event(GuestEvent("uuid-of-web", "web", "paused"))
    assert states(store) == {"db": "running", "web": "paused"}
    store.apply_event(GuestEvent("uuid-of-web", "web", None))
    store.apply_event(GuestEvent("uuid-of-another", "new", "running"))
    assert states(store) == {"db": "running", "web": "paused"}
    assert store.view.info == INFO


@pytest.mark.parametrize("active", [None, True, False])
@pytest.mark.parametrize(("before", "after"), [("running", "shut off"), ("shut off", "running")])
def test_an_event_is_newer_than_a_query_that_started_before_it(active: bool | None, before: str, after: str) -> None:
    store = NodeStore("ham0")
    store.apply_guests((guest("web", before),), None, store.event_count)
    since = store.event_count
    store.apply_event(GuestEvent("uuid-of-web", "web", after))
    # An event without a state has no effect on that.
    store.apply_event(GuestEvent("uuid-of-web", "web", None))
    has_guest = active is None or active == (before == "running")
    store.apply_guests((guest("web", before),) if has_guest else (), active, since)
    assert states(store) == {"web": after}
    store.apply_report(NodeReport(INFO, (guest("web", before),)), since)
    assert states(store) == {"web": after}
    # A query that starts after the event is newer.
    store.apply_guests((guest("web", "paused"),), None, store.event_count)
    assert states(store) == {"web": "paused"}


def test_an_event_sets_the_state_of_a_guest_in_an_older_answer() -> None:
    store = NodeStore("ham0")
    since = store.event_count
    store.apply_event(GuestEvent("uuid-of-web", "web", "shut off"))
    store.apply_guests((guest("db"), guest("web")), None, since)
    assert states(store) == {"db": "running", "web": "shut off"}


def test_a_guest_that_an_older_answer_does_not_have_yet_stays_until_the_next_answer() -> None:
    store = NodeStore("ham0")
    store.apply_guests((guest("web", "shut off"),), None, store.event_count)
    since = store.event_count
    store.apply_event(GuestEvent("uuid-of-web", "web", "running"))
    store.apply_guests((), None, since)
    assert states(store) == {"web": "running"}
    store.apply_guests((), None, store.event_count)
    assert states(store) == {}


def test_the_listener_is_called_for_each_change_in_order() -> None:
    store = NodeStore("ham0")
    changes: list[tuple[Phase, Phase]] = []
    store.listener = lambda before, now: changes.append((before.state.phase, now.state.phase))
    store.set_state(Phase.ON)
    since = store.view.state.since_s
    store.set_state(Phase.ON)
    assert store.view.state.since_s == since
    store.set_state(Phase.FAULTY, "why")
    store.set_state(Phase.FAULTY, "why")
    store.set_state(Phase.FAULTY, "another")
    faulty = (Phase.FAULTY, Phase.FAULTY)
    assert changes == [(Phase.UNSEEN, Phase.ON), (Phase.ON, Phase.FAULTY), faulty]
    store.apply_guests((guest("web"),), None, store.event_count)
    store.apply_guests((guest("web"),), None, store.event_count)
    assert changes[3:] == [faulty]


def test_a_cached_view_does_not_replace_a_newer_one() -> None:
    old = NodeView("ham0", NodeState(Phase.ON, 0.0), (guest("old"),), INFO, 1.0)
    store = NodeStore("ham0")
    store.load_cached(old)
    assert (store.view.state.phase, states(store), store.view.info) == (Phase.UNSEEN, {"old": "running"}, INFO)
    store.apply_guests((), None, store.event_count)
    store.load_cached(old)
    assert states(store) == {}


def test_changes_by_many_threads_lose_nothing() -> None:
    store = NodeStore("ham0")
    store.apply_guests(tuple(guest(str(i)) for i in range(50)), None, store.event_count)
    threads = [
        threading.Thread(target=store.apply_event, args=(GuestEvent(f"uuid-of-{i}", str(i), "shut off"),))
        for i in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states(store).values()) == {"shut off"}


def test_events_of_invented_guests_do_not_fill_the_memory() -> None:
    store = NodeStore("ham0")
    tracemalloc.start()
    for i in range(30_000):
        store.apply_event(GuestEvent(f"uuid-{i}", "x", "running"))
    assert tracemalloc.get_traced_memory()[0] < 5 << 20
    tracemalloc.stop()


def test_the_reason_of_a_state_is_cut() -> None:
    store = NodeStore("ham0")
    store.set_state(Phase.FAULTY, "x" * (4 << 20))
    assert len(store.view.state.why) <= 500
