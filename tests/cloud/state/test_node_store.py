import threading

import pytest

from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeInfo, NodeReport
from mclu_shell.cloud.state.node_store import NodeMemory
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase

INFO = NodeInfo(8, 32 << 30, 16 << 30)


def guest(name: str, state: str = "running", *addresses: str) -> Guest:
    return Guest("ham0", name, f"uuid-of-{name}", state, 1 << 30, 1, addresses)


def states(memory: NodeMemory) -> dict[str, str]:
    return {guest.name: guest.state for guest in memory.view.guests}


def test_what_was_not_asked_for_stays_known() -> None:
    memory = NodeMemory("ham0")
    memory.listed((guest("db"), guest("old", "shut off"), guest("web")), None, memory.events)
    # db has stopped; of those that do not run nothing was said.
    memory.listed((guest("web"),), True, memory.events)
    assert states(memory) == {"old": "shut off", "web": "running"}
    memory.listed((guest("db", "shut off"), guest("old", "shut off")), False, memory.events)
    assert states(memory) == {"db": "shut off", "old": "shut off", "web": "running"}


def test_which_half_alone_is_known_is_told_until_both_are() -> None:
    memory = NodeMemory("ham0")
    memory.listed((guest("web"),), True, memory.events)
    memory.listed((guest("web"),), True, memory.events)
    assert memory.view.half is True
    memory.listed((), False, memory.events)
    assert memory.view.half is None
    memory.listed((guest("web"),), True, memory.events)
    assert memory.view.half is None
    other = NodeMemory("ham0")
    other.listed((), False, other.events)
    assert other.view.half is False
    other.reported(NodeReport(INFO, (guest("web"),)), other.events)
    assert other.view.half is None


def test_an_address_stays_known_as_long_as_its_guest_runs() -> None:
    memory = NodeMemory("ham0")
    memory.listed((guest("web", "running", "10.0.0.9"),), None, memory.events)
    memory.listed((guest("web"),), None, memory.events)
    assert memory.view.guests[0].addresses == ("10.0.0.9",)
    memory.reported(NodeReport(INFO, (guest("web"),)), memory.events)
    assert memory.view.guests[0].addresses == ("10.0.0.9",)
    memory.happened(GuestEvent("uuid-of-web", "web", "shut off"))
    assert memory.view.guests[0].addresses == ()


def test_an_event_changes_the_guest_that_it_is_about() -> None:
    memory = NodeMemory("ham0")
    memory.reported(NodeReport(INFO, (guest("db"), guest("web"))), memory.events)
    memory.happened(GuestEvent("uuid-of-web", "web", "paused"))
    assert states(memory) == {"db": "running", "web": "paused"}
    memory.happened(GuestEvent("uuid-of-web", "web", None))
    memory.happened(GuestEvent("uuid-of-another", "new", "running"))
    assert states(memory) == {"db": "running", "web": "paused"}
    assert memory.view.info == INFO


@pytest.mark.parametrize("active", [None, True, False])
@pytest.mark.parametrize(("before", "after"), [("running", "shut off"), ("shut off", "running")])
def test_an_event_is_newer_than_an_answer_that_was_asked_for_before_it(
    active: bool | None, before: str, after: str
) -> None:
    memory = NodeMemory("ham0")
    memory.listed((guest("web", before),), None, memory.events)
    since = memory.events
    memory.happened(GuestEvent("uuid-of-web", "web", after))
    # An event that tells no state changes nothing of that.
    memory.happened(GuestEvent("uuid-of-web", "web", None))
    asked = active is None or active == (before == "running")
    memory.listed((guest("web", before),) if asked else (), active, since)
    assert states(memory) == {"web": after}
    memory.reported(NodeReport(INFO, (guest("web", before),)), since)
    assert states(memory) == {"web": after}
    # What was asked for after it is newer still.
    memory.listed((guest("web", "paused"),), None, memory.events)
    assert states(memory) == {"web": "paused"}


def test_a_guest_of_an_older_answer_is_in_the_state_that_an_event_has_told() -> None:
    memory = NodeMemory("ham0")
    since = memory.events
    memory.happened(GuestEvent("uuid-of-web", "web", "shut off"))
    memory.listed((guest("db"), guest("web")), None, since)
    assert states(memory) == {"db": "running", "web": "shut off"}


def test_a_guest_that_an_older_answer_does_not_have_yet_stays_until_the_next_answer() -> None:
    memory = NodeMemory("ham0")
    memory.listed((guest("web", "shut off"),), None, memory.events)
    since = memory.events
    memory.happened(GuestEvent("uuid-of-web", "web", "running"))
    memory.listed((), None, since)
    assert states(memory) == {"web": "running"}
    memory.listed((), None, memory.events)
    assert states(memory) == {}


def test_listeners_are_told_of_changes_alone_and_in_their_order() -> None:
    memory = NodeMemory("ham0")
    told: list[tuple[Phase, Phase]] = []
    memory.listener = lambda before, now: told.append((before.state.phase, now.state.phase))
    memory.note(Phase.ON)
    since = memory.view.state.since_s
    memory.note(Phase.ON)
    assert memory.view.state.since_s == since
    memory.note(Phase.FAULTY, "why")
    memory.note(Phase.FAULTY, "why")
    memory.note(Phase.FAULTY, "another")
    faulty = (Phase.FAULTY, Phase.FAULTY)
    assert told == [(Phase.UNSEEN, Phase.ON), (Phase.ON, Phase.FAULTY), faulty]
    memory.listed((guest("web"),), None, memory.events)
    memory.listed((guest("web"),), None, memory.events)
    assert told[3:] == [faulty]


def test_what_an_earlier_shell_knew_gives_way_to_what_is_known_now() -> None:
    old = NodeView("ham0", NodeState(Phase.ON, 0.0), (guest("old"),), INFO, 1.0)
    memory = NodeMemory("ham0")
    memory.recall(old)
    assert (memory.view.state.phase, states(memory), memory.view.info) == (Phase.UNSEEN, {"old": "running"}, INFO)
    memory.listed((), None, memory.events)
    memory.recall(old)
    assert states(memory) == {}


def test_changes_by_many_threads_lose_nothing() -> None:
    memory = NodeMemory("ham0")
    memory.listed(tuple(guest(str(i)) for i in range(50)), None, memory.events)
    threads = [
        threading.Thread(target=memory.happened, args=(GuestEvent(f"uuid-of-{i}", str(i), "shut off"),))
        for i in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states(memory).values()) == {"shut off"}
