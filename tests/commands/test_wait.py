"""wait on the simulated nodes; on real ones, see tests/lab."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from tests.support.mclu import Answer, InProcess

LIMIT_S = 10.0


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("wait node ham0", "ham0 on\n"),
        ("wait node ham0 on", "ham0 on\n"),
        ("wait node 'ham[12]' off", "ham1 off\nham2 off\n"),
        ("wait guest web running", "ham0:web running\n"),
        ("wait guest web ham0:web running", "ham0:web running\n"),
        ("wait guest 'ham*:*' running", "ham0:db running\nham0:web running\n"),
    ],
)
def test_a_state_already_reached_ends_the_wait(demo: InProcess, line: str, out: str) -> None:
    answer = demo(line)
    assert ("".join(sorted(answer.out.splitlines(keepends=True))), answer.err, answer.status) == (out, "", 0)


@pytest.mark.parametrize(
    ("line", "err"),
    [
        ("wait node ham1", "ham1: not up after 0.1 s: is off"),
        ("wait node ham0 off", "ham0: not off after 0.1 s"),
        ("wait guest web off", "ham0: web is still running after 0.1 s"),
        ("wait guest web ip", "ham0: web has no known address after 0.1 s; use a libvirt network"),
        ("wait guest ham1:web running", "ham1: is off, after waiting 0.1 s for ham1:web; run 'on ham1'"),
    ],
)
def test_the_timeout_reports_the_missing_state(demo: InProcess, line: str, err: str) -> None:
    answer = demo(f"{line} --timeout 0.1")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(f"mclu: {err}")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "err"),
    [
        ("wait guest nope running", "no such guest 'nope' (ham1, ham2, ham3 are off)"),
        ("wait guest 'nope*' running", "no guest matches 'nope*' (ham1, ham2, ham3 are off)"),
        ("wait guest ham9:web running", "no such node 'ham9'"),
        ("wait node ham9", "no such node 'ham9'"),
        ("wait guest web console x", "ham0: simulated guests have no consoles"),
    ],
)
def test_a_condition_that_cannot_be_met_fails_at_once(demo: InProcess, line: str, err: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(f"mclu: {err}")


@pytest.mark.parametrize(
    ("words", "err"),
    [
        ("guest web", "the last word must be a condition: running, off, ip, ssh, or console REGEX"),
        ("guest running", "the last word must be a condition"),
        ("guest web up", "the last word must be a condition"),
        ("guest web console", "'console' requires a regular expression"),
        (
            "guest web console -sh",
            "'console' requires a regular expression; if it begins with '-', put '--' before it; see",
        ),
        ("guest web console '-s h'", "unrecognized arguments: -s h"),
        ("guest web console '('", "bad regular expression '(': missing ): ("),
        (r"guest web console '(a)\1'", r"bad regular expression '(a)\1': invalid escape sequence: \1"),
        ("guest web console '(?=a)'", "bad regular expression '(?=a)': invalid perl operator: (?="),
        ("guest web console 'x*'", "the regular expression 'x*' matches an empty line"),
        ("guest a/b running", "bad guest name 'a/b'"),
        ("guest web running --timeout soon", "bad duration 'soon'"),
        ("node", "the following arguments are required"),
        ("node 'a b'", "bad node name 'a b'"),
        ("thing web", "'thing' is not one of node, guest"),
    ],
)
def test_a_bad_line_is_found_before_anything_is_done(demo: InProcess, words: str, err: str) -> None:
    answer = demo.script(f"on ham1\nwait {words}")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("mclu: x.mclu:2: wait: ")
    assert err in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_guest_may_have_the_name_of_a_state(demo: InProcess) -> None:
    for line in ("wait guest console running", "wait guest running off", "wait guest off console x"):
        assert "no such guest" in demo(line).err
    assert "no such node 'off'" in demo("wait node off").err


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set when a wait begins; polls are longer than a test takes."""
    event, wait = threading.Event(), CancelScope.wait

    def waits(scope: CancelScope, waiter: threading.Event, _longest_s: float) -> None:
        event.set()
        wait(scope, waiter, 60.0)

    monkeypatch.setattr(CancelScope, "wait", waits)
    return event


def run_while_waiting(demo: InProcess, line: str, waiting: threading.Event, then: Callable[[], None]) -> Answer:
    """Run a line, call `then` when it waits, and return the answer."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(demo, line)
        assert waiting.wait(LIMIT_S)
        waiting.clear()
        then()
        return answer.result(LIMIT_S)


def change(demo: InProcess, *verbs: str) -> None:
    node = demo.cloud.nodes[0]
    (guest,) = [guest for guest in node.fetch_guests() if guest.name == "web"]
    for verb in verbs:
        node.change_guest("web", verb, guest.uuid)


def test_an_event_ends_the_wait(demo: InProcess, waiting: threading.Event) -> None:
    answer = run_while_waiting(demo, "wait guest web off", waiting, lambda: change(demo, "stop"))
    assert (answer.status, answer.out, answer.err) == (0, "ham0:web shut off\n", "")
    answer = run_while_waiting(demo, "wait guest web running", waiting, lambda: change(demo, "start"))
    assert (answer.status, answer.out, answer.err) == (0, "ham0:web running\n", "")


def test_a_destroyed_guest_ends_the_wait(demo: InProcess, waiting: threading.Event) -> None:
    change(demo, "stop")
    answer = run_while_waiting(demo, "wait guest web running", waiting, lambda: change(demo, "undefine"))
    assert (answer.status, answer.out, answer.err) == (1, "", "mclu: ham0: web is gone\n")


def test_a_stopped_guest_ends_the_wait(demo: InProcess, waiting: threading.Event) -> None:
    answer = run_while_waiting(demo, "wait guest web ip", waiting, lambda: change(demo, "stop"))
    assert (answer.status, answer.err) == (1, "mclu: ham0: web is shut off and had no known address\n")


def test_a_guest_of_a_node_that_was_just_woken_is_waited_for(demo: InProcess) -> None:
    demo.cloud.nodes[1].expected.add_wake()
    answer = demo("wait guest nope running --timeout 0.1")
    assert answer.err.startswith("mclu: no such guest 'nope' (ham1, ham2, ham3 are off), after waiting 0.1 s for nope")


_WITH_CARD = """
<domain type='test'><name>net</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
  <devices><interface type='bridge'><source bridge='br0'/></interface></devices>
</domain>
"""


def test_a_wait_for_ip_or_ssh_needs_an_address(demo: InProcess) -> None:
    node = demo.cloud.nodes[0]
    node.change(lambda client: client.define(_WITH_CARD))
    assert demo("start net").status == 0
    answer = demo("wait guest net ip")
    assert (answer.status, answer.out.startswith("ham0:net 192.168."), answer.err) == (0, True, "")
    (listed,) = [line for line in demo("list --active").out.splitlines() if "net" in line]
    assert answer.out.split()[1] == listed.split()[-1]
    answer = demo("wait guest net ssh --timeout 0.1")
    assert answer.status == 1
    assert answer.err.startswith("mclu: ham0: net has no sshd that answers at 192.168.")
