"""boot on real nodes when it is interrupted: nothing is left behind."""

import signal
import sys
from pathlib import Path

import pytest

from tests.lab.support import boot_with_signal
from tests.lab.support.boot import LIBVIRTD, MAY_BE_LEFT
from tests.lab.support.cli import background, wait_until
from tests.lab.support.guests import BUILD, WAIT, open_gate, send_signal, sh, states, template, traces, wait_for_gate
from tests.lab.support.lab import Completed, RealLab
from tests.lab.support.terminal import CTRL_C, terminal_command

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]

INTERRUPTED = "mclu: ham0: interrupted (build output was removed)\n"


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "KILL"])
def test_a_signal_during_the_build_removes_everything(lab: RealLab, templates: Path, name: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with background(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        send_signal(command, name)
        out, err = command.communicate(timeout=30)
    assert (out, err) == ("", INTERRUPTED if name == "INT" else "")
    if name == "INT":
        assert command.returncode == 130
        assert traces(lab, "ham0") == before
    # The other signals also end the process that entered the lab, so mclu may still be cleaning up.
    wait_until(lambda: traces(lab, "ham0") == before)


def test_a_second_ctrl_c_ends_mclu_when_the_build_ignores_signals(lab: RealLab, templates: Path) -> None:
    template(templates, "deaf", build=f"trap '' TERM INT HUP\n{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with background(lab, "boot", "deaf", "web") as command:
        wait_for_gate(lab, "ham0")
        send_signal(command, "INT")
        wait_until(lambda: "sleep 5" in sh(lab, "ham0", "ps axww -o args"))
        send_signal(command, "INT")
        _, err = command.communicate(timeout=3)
    assert command.returncode == 130
    assert err == f"mclu: ham0: interrupted, but the cleanup is not confirmed; {MAY_BE_LEFT}\n"
    wait_until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_on_a_frozen_node_reports_that_no_cleanup_was_confirmed(lab: RealLab, templates: Path) -> None:
    """The node did not confirm the cleanup, so boot must not report one."""
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with terminal_command(lab, "mclu", "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.freeze("ham0")
        command.type(CTRL_C)
        command.expect("waiting for ham0 to clean up")
        assert command.end() == 130
    assert f"mclu: ham0: interrupted, but the cleanup is not confirmed; {MAY_BE_LEFT}\r\n" in command.output
    lab.thaw("ham0")
    wait_until(lambda: traces(lab, "ham0") == before)


def boot_with_signals(lab: RealLab, step: str, *signals: signal.Signals) -> Completed:
    """Boot web, and signal mclu after each completion of a step."""
    return lab.run(sys.executable, boot_with_signal.__file__, step, *(str(int(number)) for number in signals))


@pytest.mark.parametrize("step", ["definition", "confirmation to the build", "start"])
def test_ctrl_c_after_a_step_of_boot_rolls_it_back(lab: RealLab, step: str) -> None:
    before = traces(lab, "ham0")
    completed = boot_with_signals(lab, step, signal.SIGINT)
    assert (completed.returncode, completed.stdout, completed.stderr) == (130, "", INTERRUPTED)
    assert traces(lab, "ham0") == before


def test_ctrl_c_after_the_start_reports_the_guest(lab: RealLab) -> None:
    completed = boot_with_signals(lab, "clean-up of the build", signal.SIGINT)
    assert (completed.returncode, completed.stdout, completed.stderr) == (130, "ham0:web running\n", "")
    assert states(lab, "ham0") == {"web": "running"}


@pytest.mark.parametrize("second", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_stop_the_rollback(lab: RealLab, second: signal.Signals) -> None:
    """Both the start and the stop during the rollback change the guest."""
    before = traces(lab, "ham0")
    completed = boot_with_signals(lab, "start", signal.SIGHUP, second)
    assert (completed.returncode, completed.stderr) == (129, INTERRUPTED)
    assert traces(lab, "ham0") == before


def test_the_node_cleans_up_when_mclu_is_killed_after_the_definition(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    completed = boot_with_signals(lab, "definition", signal.SIGKILL)
    assert completed.returncode == -9
    wait_until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_while_libvirtd_is_stopped_removes_everything(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}\nkill -STOP {LIBVIRTD}; mkfifo /tmp/stopped")
    before = traces(lab, "ham0")
    with background(lab, "boot", "slow", "web") as command:
        open_gate(lab, "ham0")
        wait_until(lambda: "stopped" in sh(lab, "ham0", "ls /tmp"))
        send_signal(command, "INT")
        sh(lab, "ham0", f"rm /tmp/stopped; kill -CONT {LIBVIRTD}")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (130, "", INTERRUPTED)
    assert traces(lab, "ham0") == before
