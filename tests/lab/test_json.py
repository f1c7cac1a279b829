"""-o json in every state of real nodes, as a program uses it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import Result, background, mclu, run_guest
from tests.lab.support.lab import RealLab
from tests.output.schema_check import Object, read, read_one
from tests.shell.terminal import ENTER, Terminal
from tests.support.mclu import MCLU

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])


@pytest.fixture(autouse=True)
def _web(lab: RealLab) -> None:
    """Start the guest web on ham0."""
    run_guest(lab, "ham0", "web")


def ask(lab: RealLab, *words: str) -> Result:
    return mclu(lab, "-o", "json", *words)


def nodes(document: Object) -> list[tuple[str, str | None, bool]]:
    """Return the power and the fault of each node, and whether its free memory is known."""
    return [(node["power"], node["fault"], node["free_bytes"] is not None) for node in document["nodes"]]


ON, OFF = ("on", None, True), ("off", None, False)


def _freeze_libvirtd(lab: RealLab) -> None:
    lab.freeze("ham1", libvirtd=True)


STATES: dict[str, tuple[Callable[[RealLab], None], list[object], list[tuple[str, str]]]] = {
    "some off": (lambda lab: None, [ON, ON, OFF, OFF], []),
    "all on": (lambda lab: lab.power(on=["ham0", "ham1", "ham2", "ham3"]), [ON] * 4, []),
    "all off": (lambda lab: lab.power(on=[]), [OFF] * 4, []),
    "libvirtd frozen": (
        _freeze_libvirtd,
        [ON, ("on", "libvirtd not answering", False), OFF, OFF],
        [("libvirt-down", "ham1")],
    ),
    "node frozen": (
        lambda lab: lab.freeze("ham1"),
        [ON, ("on", "ssh: not answering", False), OFF, OFF],
        [("ssh-silent", "ham1")],
    ),
    "host key changed": (
        lambda lab: lab.rekey("ham1"),
        [ON, ("on", "ssh: Host key verification failed (host key has CHANGED)", False), OFF, OFF],
        [("host-key-changed", "ham1")],
    ),
    "host key not known": (
        lambda lab: lab.forget("ham1"),
        [ON, ("on", "ssh: Host key verification failed (host key not known)", False), OFF, OFF],
        [("host-key-unknown", "ham1")],
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_queries_print_one_json_document_in_every_state(lab: RealLab, ssh_files: Path, state: str) -> None:
    change, expected, errors = STATES[state]
    change(lab)
    status, listed = ask(lab, "status"), ask(lab, "list", "--active")
    document = read_one(status.out)
    assert nodes(document) == expected
    assert [(error["error"], error["place"]) for error in document["errors"]] == errors
    assert status.status == listed.status == bool(errors)
    names = [guest["name"] for guest in read_one(listed.out)["guests"]]
    assert names == (["web"] if expected[0] == ON else [])
    piped = lab.run("sh", "-c", f"{MCLU} -o json status | {sys.executable} -m json.tool")
    assert (piped.returncode, list(json.loads(piped.stdout))) == (0, ["kind", "nodes", "errors"])
    lab.off("ham1")


def test_json_of_status_is_the_same_through_an_open_shell(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    shell = shells()
    shell.expect_toolbar("2 on  2 off  1 guest running")
    assert nodes(read_one(ask(lab, "status").out)) == [ON, ON, OFF, OFF]


def test_cached_facts_in_json_have_the_time_of_the_snapshot(lab: RealLab, tmp_path: Path) -> None:
    program, *words = lab.command(str(MCLU), "-o", "json")
    shell = Terminal(*words, program=program)
    try:
        shell.expect_toolbar("2 on  2 off  1 guest running")
        lab.freeze("ham0", libvirtd=True)
        shell.run(f"status ham0 > {tmp_path}/x")
        document = read_one((tmp_path / "x").read_text())
        assert nodes(document) == [("on", "libvirtd not answering", True)]
        assert document["nodes"][0]["as_of"] is not None
        shell.type("quit" + ENTER)
        assert shell.status() == document["errors"][0]["status"]
    finally:
        shell.close()
        lab.thaw("ham0", libvirtd=True)


@pytest.mark.usefixtures("templates")
def test_actions_on_a_guest_print_one_json_line_per_event(lab: RealLab) -> None:
    (booted,) = read(ask(lab, "boot", "tiny", "ham1:new").out)
    assert (booted["kind"], booted["node"], booted["guest"], booted["template"]) == ("booted", "ham1", "new", "tiny")
    planned = read_one(ask(lab, "-n", "destroy", "new").out)
    answer = ask(lab, "-c", "reboot --hard new; shutdown new --force --timeout 1; start new; destroy new")
    changes = read(answer.out)
    paths = [[file["path"] for file in record["deleted"]] for record in (planned, changes[3])]
    # The console log has grown; its deletion is planned, too.
    assert paths[0] == paths[1]
    assert paths[0][-1].endswith("/new.serial")
    assert [change.get("change", change["kind"]) for change in changes[:3]] == ["reset", "stopped by force", "started"]
    assert [Path(file["path"]).name for file in changes[3]["deleted"]] != []
    assert all(file["size_bytes"] > 0 for file in changes[3]["deleted"][:-1])
    assert (changes[3]["kind"], changes[3]["kept"], answer.status) == ("destroyed", [], 0)


def test_json_lines_are_printed_as_events_happen(lab: RealLab) -> None:
    with background(lab, "-o", "json", "on", "ham2", "nosuch", "--wait") as refused:
        assert refused.stdout
        assert read_one(refused.stdout.read())["error"] == "not-found"
    with background(lab, "-o", "json", "on", "ham2", "--wait") as waking:
        assert waking.stdout
        assert read_one(waking.stdout.readline())["kind"] == "waking"
        # mclu still waits for the node.
        assert waking.poll() is None
        assert read_one(waking.stdout.readline()) == {"kind": "power", "node": "ham2", "power": "on"}
    assert read_one(ask(lab, "off", "ham2").out) == {"kind": "power", "node": "ham2", "power": "off"}
