"""Dry runs on the simulated nodes: what the lines before would have changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import InProcess
from tests.dry_run.dry_runs import TEMPLATE, dry, everything, mine, refuse, told
from tests.support.faults import interrupt_when

__all__ = ["dry", "mine"]


def test_a_guest_that_would_have_been_made_is_there_for_the_lines_after(dry: InProcess) -> None:
    answer = dry.script("boot mine new\nreboot new\nshutdown new\nstart 'n*'\ndestroy new\nboot mine new\nstatus ham0")
    assert (answer.status, answer.err) == (0, "")
    assert [line.split(": ")[:2] for line in told(answer)[1].splitlines()[:6]] == [
        ["x.mclu:1", "would boot ham0:new"],
        ["x.mclu:2", "would reboot ham0:new"],
        ["x.mclu:3", "would shut down ham0:new"],
        ["x.mclu:4", "would start ham0:new"],
        ["x.mclu:5", "would destroy ham0:new"],
        ["x.mclu:6", "would boot ham0:new"],
    ]
    # A question is answered as things are.
    assert "2guests 4vcpus" in answer.out


def test_what_is_given_back_can_be_had(clouds: Callable[..., InProcess]) -> None:
    lines = "shutdown web db; boot mine new --memory 30G"
    real, dry = clouds(), clouds(is_dry=True)
    assert dry("boot mine new --memory 30G").status == real("boot mine new --memory 30G").status == 1
    assert dry(lines).status == real(lines).status == 0


def test_files_that_would_be_gone_are_in_nobodys_way(clouds: Callable[..., InProcess]) -> None:
    real = clouds()
    assert real("boot mine new").status == 0
    # The same cloud, with what was made in it.
    dry = InProcess(real.cloud, is_dry=True)
    image = Path(real.cloud.nodes[0].config.images) / "new.qcow2"
    before = everything(real.cloud)
    assert dry("boot mine new").err == "mclu: ham0: there is a guest 'new' already\n"
    answer = dry("destroy new; boot mine new")
    assert (answer.status, answer.err) == (0, "")
    assert f"  would delete {image} (" in answer.out
    assert f"would boot ham0:new: mine, 64M, 4vcpus, disk {image}\n" in answer.out
    assert everything(real.cloud) == before


@pytest.mark.parametrize("lines", ["boot mine new; destroy new", "destroy web"])
def test_a_node_that_does_not_answer_prevents_as_much_as_in_a_real_run(
    clouds: Callable[..., InProcess], lines: str
) -> None:
    real, dry = clouds(), clouds(is_dry=True)
    for cloud in (real.cloud, dry.cloud):
        cloud.nodes[1].query = refuse  # type: ignore[method-assign]
    happened, planned = told(real(lines)), told(dry(lines))
    assert (planned[0], planned[2]) == (happened[0], happened[2])
    assert planned[0] == 0


def test_who_was_not_asked_for_a_name_is_told_also_where_its_node_is_not_up(dry: InProcess) -> None:
    dry.cloud.nodes[1].query = refuse  # type: ignore[method-assign]
    told = "mclu: ham1: was not asked whether it has a guest 'new', too: ssh: permission denied for root\n"
    assert dry("on ham2 --wait; boot mine ham2:new").err == told


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("wait guest web off; start web", 0),
        ("wait guest web off; reboot web", 1),
        ("shutdown web; wait guest web running; reboot web", 0),
        ("shutdown web; wait guest web ip; start web", 1),
        ("wait guest 'ham0:*' off; off ham0", 0),
        ("wait node ham0; shutdown web; wait guest web off; wait guest web off", 0),
    ],
)
def test_what_was_waited_for_has_happened(dry: InProcess, lines: str, status: int) -> None:
    assert dry(lines).status == status


def test_what_is_so_already_would_not_be_waited_for(dry: InProcess) -> None:
    answer = dry("wait node ham0 ham1; wait node ham2 off; wait guest web running; shutdown web; wait guest web off")
    assert answer.out.splitlines() == [
        "would not wait for ham0: on already",
        "would wait for ham1: at most 5 min, until libvirt answers there",
        "would not wait for ham2: off already",
        "would not wait for ham0:web: running already",
        "would shut down ham0:web: ask it to, wait at most 2 min",
        "would not wait for ham0:web: shut off already",
    ]


def test_after_waiting_for_it_a_node_is_off(dry: InProcess) -> None:
    answer = dry("wait node ham0 off; wait node ham0")
    assert [line.partition(":")[0] for line in answer.out.splitlines()] == ["would wait for ham0"] * 2


def test_a_guest_of_a_node_that_is_off_is_waited_for_if_the_node_is_named(dry: InProcess) -> None:
    answer = dry("wait guest ham1:new running --timeout 5")
    assert (answer.status, answer.out) == (0, "would wait for ham1:new: to run, at most 5 s\n")


def test_guests_that_would_have_been_made_are_told_in_their_order(dry: InProcess) -> None:
    answer = dry("boot mine a; boot mine z; destroy --yes '*'")
    assert [line.split(":")[1] for line in answer.out.splitlines()[2:]] == ["a", "db", "web", "z"]


def test_no_node_that_comes_up_has_what_would_have_been_made(dry: InProcess) -> None:
    assert dry("boot mine new; on ham1 --wait; destroy new").err == ""


def test_a_node_that_would_be_off_is(dry: InProcess) -> None:
    answer = dry("shutdown '*'; off ham0; boot mine ham0:new")
    assert (answer.status, answer.err) == (1, "mclu: ham0: is off; run 'on ham0'\n")
    assert "would switch off ham0: no guest runs on it\n" in answer.out


def test_of_a_node_that_is_off_and_would_be_on_nothing_is_made_up(dry: InProcess) -> None:
    answer = dry.script(
        "on ham1 --wait\nboot mine ham1:new --memory 999G\nreboot new\nreboot ham1:other\nreboot 'ham1:*'\n"
        "shutdown new\noff ham1\nboot mine ham1:more\n"
    )
    assert answer.out.splitlines()[2:] == [
        "x.mclu:2: would boot ham1:new: mine, 999G, if it has room, and no guest 'new', "
        "which is not known before it is up",
        "x.mclu:3: would reboot ham1:new",
        "x.mclu:5: would reboot ham1:new",
        "x.mclu:6: would shut down ham1:new: ask it to, wait at most 2 min",
        "x.mclu:7: would switch off ham1: if no guest runs on it, which is not known before it is up",
    ]
    assert answer.err.splitlines() == [
        "mclu: x.mclu:4: ham1: cannot check for guest 'other' before it is up",
        "mclu: x.mclu:5: ham1: its guests are unknown until it is up",
        "mclu: x.mclu:8: ham1: is off; run 'on ham1'",
    ]
    assert answer.status == 1


def test_a_guest_that_runs_keeps_its_node_on_also_if_both_would_only_be_there(dry: InProcess) -> None:
    answer = dry("on ham1 --wait; boot mine ham1:new; off ham1")
    assert answer.err == "mclu: ham1: not switched off: guest running: new\n"


@pytest.mark.parametrize(
    ("memory", "place"),
    [
        ("1G", "ham0:new: mine, 1G, 4vcpus, disk …/ham0/new.qcow2"),
        ("30G", "ham1:new: mine, 30G, if it has room, and no guest 'new', which is not known before it is up"),
    ],
)
def test_the_first_node_that_surely_has_room_has_the_guest(dry: InProcess, memory: str, place: str) -> None:
    answer = dry(f"on ham1 --wait; boot mine new --memory {memory}")
    assert told(answer)[1].splitlines()[-1] == f"would boot {place}"
    assert answer.status == 0
    assert dry("reboot new").out == f"would reboot {place[:8]}\n"


def test_where_a_node_before_it_may_have_room_both_are_told(clouds: Callable[..., InProcess]) -> None:
    dry = clouds(is_dry=True)
    dry.cloud.nodes = tuple(reversed(dry.cloud.nodes))
    answer = dry("on ham1 --wait; boot mine new")
    assert answer.out.splitlines()[-1].endswith("which is not known before it is up; if not, on ham0")


def test_a_node_that_nobody_waits_for_is_still_off(dry: InProcess) -> None:
    answer = dry("on ham1; boot mine ham1:new")
    told = "mclu: ham1: is off, and nothing waits until it is up; 'on ham1 --wait' does\n"
    assert (answer.status, answer.err) == (1, told)
    # What a program of the user's does takes its time, which is nobody's to know.
    answer = dry("on ham1\n!sleep 60\nboot mine ham1:new")
    assert answer.status == 0
    assert answer.out.splitlines()[-1].startswith("would boot ham1:new: mine, 64M, if it has room")


def test_an_interrupted_script_does_not_say_that_anything_was_done(
    clouds: Callable[..., InProcess], tmp_path: Path
) -> None:
    hanging = tmp_path / "hanging.template"
    hanging.write_text(TEMPLATE.replace("echo hello", f"echo hello; touch {tmp_path}/began; sleep 20"))
    hanging.chmod(0o755)
    interrupt_when((tmp_path / "began").exists)
    answer = clouds(is_dry=True).script("on ham1\nboot hanging new\noff ham1\n")
    assert (answer.status, answer.err) == (130, "mclu: x.mclu:2: interrupted; commands shown: 1, not started: 1\n")


def test_what_would_be_waited_for_is_told_and_not_waited_for(dry: InProcess) -> None:
    answer = dry.script(
        "on ham1\nwait node ham0 ham1\nwait guest web console 'x y' --timeout 90\noff ham1\nwait node ham1 off"
    )
    assert (answer.status, answer.err) == (0, "")
    lines = [line.partition(" ")[2] for line in answer.out.splitlines()]
    assert lines[1:4] == [
        "would not wait for ham0: on already",
        "would wait for ham1: at most 5 min, until libvirt answers there",
        "would wait for ham0:web: to write 'x y' on the console, at most 90 s",
    ]
    # It would be off by then.
    assert lines[5:] == ["would not wait for ham1: off already"]
