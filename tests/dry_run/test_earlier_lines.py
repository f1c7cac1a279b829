"""Dry runs on the simulated nodes: later lines see the changes of earlier lines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dry_run.support import TEMPLATE, fetch_everything, refuse_login, without_paths
from tests.support.faults import interrupt_when
from tests.support.mclu import InProcess
from tests.support.templates import write_template


def test_later_lines_see_a_guest_of_an_earlier_boot(dry_run: InProcess) -> None:
    answer = dry_run.script(
        "boot mine new\nreboot new\nshutdown new\nstart 'n*'\ndestroy new\nboot mine new\nstatus ham0"
    )
    assert (answer.status, answer.err) == (0, "")
    assert [line.split(": ")[:2] for line in without_paths(answer)[1].splitlines()[:6]] == [
        ["x.mclu:1", "would boot ham0:new"],
        ["x.mclu:2", "would reboot ham0:new"],
        ["x.mclu:3", "would shut down ham0:new"],
        ["x.mclu:4", "would start ham0:new"],
        ["x.mclu:5", "would destroy ham0:new"],
        ["x.mclu:6", "would boot ham0:new"],
    ]
    # Queries show the real state.
    assert "2guests 4vcpus" in answer.out


def test_memory_of_guests_that_earlier_lines_stop_is_free(clouds: Callable[..., InProcess]) -> None:
    lines = "shutdown web db; boot mine new --memory 30G"
    real, dry_run = clouds(), clouds(is_dry=True)
    assert dry_run("boot mine new --memory 30G").status == real("boot mine new --memory 30G").status == 1
    assert dry_run(lines).status == real(lines).status == 0


def test_files_that_earlier_lines_delete_do_not_prevent_a_boot(clouds: Callable[..., InProcess]) -> None:
    real = clouds()
    assert real("boot mine new").status == 0
    # The same cloud, with the new guest.
    dry_run = InProcess(real.cloud, is_dry=True)
    image = Path(real.cloud.nodes[0].config.images) / "new.qcow2"
    before = fetch_everything(real.cloud)
    assert dry_run("boot mine new").err == "mclu: ham0: guest 'new' already exists\n"
    answer = dry_run("destroy new; boot mine new")
    assert (answer.status, answer.err) == (0, "")
    assert f"  would delete {image} (" in answer.out
    assert f"would boot ham0:new: mine, 64M, 4vcpus, disk {image}\n" in answer.out
    assert fetch_everything(real.cloud) == before


@pytest.mark.parametrize("lines", ["boot mine new; destroy new", "destroy web"])
def test_a_node_that_cannot_be_queried_does_not_prevent_destroy(
    clouds: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch, lines: str
) -> None:
    real, dry_run = clouds(), clouds(is_dry=True)
    for cloud in (real.cloud, dry_run.cloud):
        monkeypatch.setattr(cloud.nodes[1], "query", refuse_login)
    real_result, dry_result = without_paths(real(lines)), without_paths(dry_run(lines))
    assert (dry_result[0], dry_result[2]) == (real_result[0], real_result[2])
    assert dry_result[0] == 0


def test_a_boot_on_a_woken_node_warns_about_nodes_that_cannot_be_checked(
    dry_run: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run.cloud.nodes[1], "query", refuse_login)
    message = "mclu: ham1: cannot check for another guest 'new': ssh: permission denied for root\n"
    assert dry_run("on ham2 --wait; boot mine ham2:new").err == message


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
def test_later_lines_see_a_state_that_was_waited_for(dry_run: InProcess, lines: str, status: int) -> None:
    assert dry_run(lines).status == status


def test_a_state_that_is_already_reached_is_not_waited_for(dry_run: InProcess) -> None:
    answer = dry_run(
        "wait node ham0 ham1; wait node ham2 off; wait guest web running; shutdown web; wait guest web off"
    )
    assert answer.out.splitlines() == [
        "would not wait for ham0: already on",
        "would wait for ham1: at most 5 min, until libvirt answers there",
        "would not wait for ham2: already off",
        "would not wait for ham0:web: already running",
        "would shut down ham0:web: ask it to, wait at most 2 min",
        "would not wait for ham0:web: already shut off",
    ]


def test_a_node_is_off_after_a_wait_for_that(dry_run: InProcess) -> None:
    answer = dry_run("wait node ham0 off; wait node ham0")
    assert [line.partition(":")[0] for line in answer.out.splitlines()] == ["would wait for ham0"] * 2


def test_a_guest_of_a_node_that_is_off_is_waited_for_if_the_node_is_named(dry_run: InProcess) -> None:
    answer = dry_run("wait guest ham1:new running --timeout 5")
    assert (answer.status, answer.out) == (0, "would wait for ham1:new: to run, at most 5 s\n")


def test_new_and_existing_guests_are_sorted_by_name(dry_run: InProcess) -> None:
    answer = dry_run("boot mine a; boot mine z; destroy --yes '*'")
    assert [line.split(":")[1] for line in answer.out.splitlines()[2:]] == ["a", "db", "web", "z"]


def test_destroying_a_new_guest_needs_no_check_of_woken_nodes(dry_run: InProcess) -> None:
    assert dry_run("boot mine new; on ham1 --wait; destroy new").err == ""


def test_later_lines_see_that_a_node_is_off(dry_run: InProcess) -> None:
    answer = dry_run("shutdown '*'; off ham0; boot mine ham0:new")
    assert (answer.status, answer.err) == (1, "mclu: ham0: is off; run 'on ham0'\n")
    assert "would switch off ham0: no guest runs on it\n" in answer.out


def test_memory_and_guests_of_a_woken_node_are_unknown(dry_run: InProcess) -> None:
    answer = dry_run.script(
        "on ham1 --wait\nboot mine ham1:new --memory 999G\nreboot new\nreboot ham1:other\nreboot 'ham1:*'\n"
        "shutdown new\noff ham1\nboot mine ham1:more\n"
    )
    assert answer.out.splitlines()[2:] == [
        "x.mclu:2: would boot ham1:new: mine, 999G, if it has room and no guest 'new' (unknown until it is up)",
        "x.mclu:3: would reboot ham1:new",
        "x.mclu:5: would reboot ham1:new",
        "x.mclu:6: would shut down ham1:new: ask it to, wait at most 2 min",
        "x.mclu:7: would switch off ham1: if no guest runs on it (unknown until it is up)",
    ]
    assert answer.err.splitlines() == [
        "mclu: x.mclu:4: ham1: cannot check for guest 'other' before it is up",
        "mclu: x.mclu:5: ham1: its guests are unknown until it is up",
        "mclu: x.mclu:8: ham1: is off; run 'on ham1'",
    ]
    assert answer.status == 1


def test_a_new_guest_keeps_a_woken_node_on(dry_run: InProcess) -> None:
    answer = dry_run("on ham1 --wait; boot mine ham1:new; off ham1")
    assert answer.err == "mclu: ham1: cannot switch off: guest new is running; shut it down or destroy it first\n"


@pytest.mark.parametrize(
    ("memory", "place"),
    [
        ("1G", "ham0:new: mine, 1G, 4vcpus, disk …/ham0/new.qcow2"),
        ("30G", "ham1:new: mine, 30G, if it has room and no guest 'new' (unknown until it is up)"),
    ],
)
def test_a_guest_goes_to_the_first_node_that_certainly_has_room(dry_run: InProcess, memory: str, place: str) -> None:
    answer = dry_run(f"on ham1 --wait; boot mine new --memory {memory}")
    assert without_paths(answer)[1].splitlines()[-1] == f"would boot {place}"
    assert answer.status == 0
    assert dry_run("reboot new").out == f"would reboot {place[:8]}\n"


def test_a_boot_names_both_nodes_if_an_earlier_one_may_have_room(clouds: Callable[..., InProcess]) -> None:
    dry_run = clouds(is_dry=True)
    dry_run.cloud.nodes = tuple(reversed(dry_run.cloud.nodes))
    answer = dry_run("on ham1 --wait; boot mine new")
    assert answer.out.splitlines()[-1].endswith("(unknown until it is up), otherwise on ham0")


def test_a_woken_node_is_off_until_a_line_waits_for_it(dry_run: InProcess) -> None:
    answer = dry_run("on ham1; boot mine ham1:new")
    message = "mclu: ham1: is off, and no line waits until it is on; use 'on ham1 --wait'\n"
    assert (answer.status, answer.err) == (1, message)
    # A program of the user may take long enough for the node to be up.
    answer = dry_run("on ham1\n!sleep 60\nboot mine ham1:new")
    assert answer.status == 0
    assert answer.out.splitlines()[-1].startswith("would boot ham1:new: mine, 64M, if it has room")


def test_an_interrupted_script_does_not_claim_that_commands_ran(
    clouds: Callable[..., InProcess], tmp_path: Path
) -> None:
    write_template(tmp_path, "hanging", **TEMPLATE, probe=f"echo hello; touch {tmp_path}/began; sleep 20")
    interrupt_when((tmp_path / "began").exists)
    answer = clouds(is_dry=True).script("on ham1\nboot hanging new\noff ham1\n")
    assert (answer.status, answer.err) == (130, "mclu: x.mclu:2: interrupted; commands shown: 1, not started: 1\n")


def test_a_dry_run_prints_waits_and_does_not_wait(dry_run: InProcess) -> None:
    answer = dry_run.script(
        "on ham1\nwait node ham0 ham1\nwait guest web console 'x y' --timeout 90\noff ham1\nwait node ham1 off"
    )
    assert (answer.status, answer.err) == (0, "")
    lines = [line.partition(" ")[2] for line in answer.out.splitlines()]
    assert lines[1:4] == [
        "would not wait for ham0: already on",
        "would wait for ham1: at most 5 min, until libvirt answers there",
        "would wait for ham0:web: to write 'x y' on the console, at most 90 s",
    ]
    # A real run would have switched it off by then.
    assert lines[5:] == ["would not wait for ham1: already off"]
