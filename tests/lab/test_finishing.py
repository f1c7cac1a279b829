"""Commands that change several things finish what they have begun, without output or after a signal, and report it."""

import json
from collections.abc import Callable

import pytest

from tests.lab.support.cli import is_on, mclu, wait_until
from tests.lab.support.guests import sh, states
from tests.lab.support.lab import RealLab
from tests.lab.support.many import (
    NAMES,
    define_many,
    deletion_gate,
    deletions,
    open_deletion_gate,
    remaining,
    signalled,
)
from tests.shell.terminal import CTRL_C, ENTER, Terminal

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

OUTPUTS = {"a full disk": (">/dev/full", 1), "no reader": ("| true", 0), "no output": (">&- 2>&-", 1)}
each_output = pytest.mark.parametrize(("output", "status"), OUTPUTS.values(), ids=OUTPUTS)
STATUSES = {"INT": 130, "TERM": 143, "HUP": 129}
each_signal = pytest.mark.parametrize(("name", "status"), STATUSES.items(), ids=STATUSES)


def run(lab: RealLab, line: str) -> tuple[int, str]:
    """Run a line of sh; return its status and errors."""
    completed = lab.run("sh", "-c", line)
    return completed.returncode, completed.stderr


# The output


@each_output
def test_destroy_destroys_all_guests_without_its_output(lab: RealLab, output: str, status: int) -> None:
    define_many(lab, "ham0")
    assert run(lab, f"mclu destroy 'hd*' --yes {output}")[0] == status
    assert remaining(lab, "ham0") == []


def test_failures_are_reported_without_the_output(lab: RealLab) -> None:
    define_many(lab, "ham0")
    assert run(lab, "mclu start hd0 hd1 | true") == (0, "")
    for line in ("mclu start hd0 hd2 >/dev/full", "mclu -c 'start hd0 hd3 | true'"):
        status, err = run(lab, line)
        assert (status, err.splitlines()[0]) == (1, "mclu: ham0: hd0 is already running")
    assert [name for name, state in states(lab, "ham0").items() if state == "running"] == ["hd0", "hd1", "hd2", "hd3"]


@pytest.mark.parametrize("redirection", ["| true", "| head -1", "> /dev/full"])
def test_a_redirection_of_mclu_does_not_stop_a_command(lab: RealLab, redirection: str) -> None:
    define_many(lab, "ham0")
    status = mclu(lab, "-c", f"destroy 'hd*' --yes {redirection}").status
    assert status == (1 if "full" in redirection else 0)
    assert remaining(lab, "ham0") == []


@each_output
def test_start_and_shutdown_change_all_guests_without_their_output(lab: RealLab, output: str, status: int) -> None:
    define_many(lab, "ham0")
    assert run(lab, f"mclu start 'hd*' {output}")[0] == status
    assert states(lab, "ham0") == dict.fromkeys(NAMES, "running")
    assert run(lab, f"mclu shutdown 'hd*' --timeout 1 --force {output}")[0] == status
    assert states(lab, "ham0") == dict.fromkeys(NAMES, "shut off")


@each_output
def test_on_and_off_switch_all_nodes_without_their_output(lab: RealLab, output: str, status: int) -> None:
    assert run(lab, f"mclu on ham2 ham3 --wait {output}")[0] == status
    assert is_on(lab, "ham2", "ham3")
    assert run(lab, f"mclu off ham2 ham3 {output}")[0] == status
    assert not is_on(lab, "ham2")
    assert not is_on(lab, "ham3")


# Signals


@each_signal
def test_a_signal_lets_begun_deletions_finish_and_all_are_reported(lab: RealLab, name: str, status: int) -> None:
    define_many(lab, "ham0", is_started=True)
    with deletion_gate(lab, "ham0"), signalled(lab, "destroy", "hd*", "--yes") as command:
        wait_until(lambda: deletions(lab, "ham0"))
        # An impatient user.
        for _ in range(3):
            command.signal(name)
        open_deletion_gate(lab, "ham0")
        ended, out, err = command.end()
    left = remaining(lab, "ham0")
    assert (ended, sorted(err)) == (status, [f"mclu: ham0: {guest} not changed: interrupted" for guest in left])
    assert sorted(out) == [f"ham0:{guest} destroyed" for guest in NAMES if guest not in left]
    assert states(lab, "ham0") == dict.fromkeys(left, "running")


@each_signal
def test_json_has_the_changes_and_the_interrupt(lab: RealLab, name: str, status: int) -> None:
    define_many(lab, "ham0")
    with deletion_gate(lab, "ham0"), signalled(lab, "-o", "json", "destroy", "hd*", "--yes") as command:
        wait_until(lambda: deletions(lab, "ham0"))
        command.signal(name)
        open_deletion_gate(lab, "ham0")
        ended, out, _ = command.end()
    *records, last = [json.loads(line) for line in out]
    destroyed = [record["guest"] for record in records if record["kind"] == "destroyed"]
    errors = [record for record in records if record["kind"] == "error"]
    kept = [record["guest"] for record in errors]
    assert (ended, last["error"]) == (status, "interrupted")
    assert {record["status"] for record in (*errors, last)} == {status}
    assert [record["fact"].split()[0] for record in errors] == kept
    assert sorted(kept) == remaining(lab, "ham0")
    assert sorted(destroyed + kept) == list(NAMES)


def test_ctrl_c_at_the_prompt_reports_all_changes(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    define_many(lab, "ham0", is_started=True)
    shell = shells()
    with deletion_gate(lab, "ham0"):
        shell.type("destroy 'hd*' --yes" + ENTER)
        wait_until(lambda: deletions(lab, "ham0"))
        shell.type(CTRL_C)
        open_deletion_gate(lab, "ham0")
        # The prompt from before the command is on the screen, too.
        shell.expect(r"destroyed\n(.|\n)*mclu>\Z")
    left = remaining(lab, "ham0")
    assert [name for name in NAMES if f"ham0:{name} destroyed" not in shell.screen] == left
    assert [name for name in NAMES if f"ham0: {name} not changed: interrupted" in shell.screen] == left


def test_an_interrupted_shutdown_forces_nothing_and_reports_each_guest(lab: RealLab) -> None:
    # Their firmware ignores the power button.
    define_many(lab, "ham0", is_started=True)
    sh(lab, "ham0", "setsid virsh qemu-monitor-event --event POWERDOWN --loop >/tmp/requests 2>&1 & echo")
    with signalled(lab, "shutdown", "hd*", "--force") as command:
        wait_until(lambda: sh(lab, "ham0", "cat /tmp/requests").count("POWERDOWN") == len(NAMES))
        command.signal("INT")
        status, out, err = command.end()
    assert (status, out) == (130, [])
    assert states(lab, "ham0") == dict.fromkeys(NAMES, "running")
    assert sorted(err) == [f"mclu: ham0: {name} was asked to shut down, but still runs: interrupted" for name in NAMES]
    sh(lab, "ham0", "pkill -f qemu-monitor-even[t]")
