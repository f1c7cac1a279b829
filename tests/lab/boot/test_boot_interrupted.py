"""boot on real nodes, when it is interrupted: nothing is left."""

import sys
from pathlib import Path

import pytest

from tests.lab.boot.fixtures import LIBVIRTD, MAY_BE_LEFT, lab, templates
from tests.lab.support.cli import started, until
from tests.lab.support.guests import (
    BUILD,
    WAIT,
    open_gate,
    send,
    sh,
    template,
    traces,
    wait_for_gate,
)
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import CTRL_C, typed

__all__ = ["lab", "templates"]


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "KILL"])
def test_a_signal_during_the_build(lab: RealLab, templates: Path, name: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        send(command, name)
        out, err = command.communicate(timeout=30)
    assert (out, err) == ("", INTERRUPTED if name == "INT" else "")
    if name == "INT":
        assert command.returncode == 130
        assert traces(lab, "ham0") == before
    # The others end what entered the lab for mclu, too, which then is not waited for.
    until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_twice_on_a_build_that_does_not_listen(lab: RealLab, templates: Path) -> None:
    template(templates, "deaf", build=f"trap '' TERM INT HUP\n{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with started(lab, "boot", "deaf", "web") as command:
        wait_for_gate(lab, "ham0")
        send(command, "INT")
        until(lambda: "sleep 5" in sh(lab, "ham0", "ps axww -o args"))
        send(command, "INT")
        _, err = command.communicate(timeout=3)
    assert command.returncode == 130
    assert err == f"mclu: ham0: interrupted, and it has not said that it cleaned up; {MAY_BE_LEFT}\n"
    until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_while_the_node_is_frozen(lab: RealLab, templates: Path) -> None:
    """Nobody has said that anything is removed, so nobody is told that it is."""
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with typed(lab, "mclu", "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.freeze("ham0")
        command.type(CTRL_C)
        command.expect("waiting for ham0 to clean up")
        assert command.end() == 130
    assert f"mclu: ham0: interrupted, and it has not said that it cleaned up; {MAY_BE_LEFT}\r\n" in command.said
    lab.thaw("ham0")
    until(lambda: traces(lab, "ham0") == before)


# The step after which a signal comes, as an attribute of a module that does it.
STEPS = {
    "the definition": ("hypervisor.client", "LibvirtClient", "define"),
    "the word to keep it": ("boot.build", "Build", "keep"),
    "the start": ("nodes.node", "Node", "change_guest"),
}
BOOT_WITH_A_SIGNAL = """
import importlib, os, sys
module, kind, method, *numbers = sys.argv[1:]
found = getattr(importlib.import_module(f"mclu_shell.cloud.{module}"), kind)
do = getattr(found, method)
def do_and_signal(self, *args):
    do(self, *args)
    number = int(numbers.pop(0))
    if not numbers:
        setattr(found, method, do)
    os.kill(os.getpid(), number)
setattr(found, method, do_and_signal)
from mclu_shell.cli import main
sys.exit(main(["boot", "quick", "web"]))
"""


INTERRUPTED = "mclu: ham0: interrupted, and what was made there is removed\n"


@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_after(lab: RealLab, step: str) -> None:
    before = traces(lab, "ham0")
    done = lab.run(sys.executable, "-c", BOOT_WITH_A_SIGNAL, *STEPS[step], "2")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)
    assert traces(lab, "ham0") == before


@pytest.mark.parametrize("number", [1, 2, 15])
def test_a_second_signal_while_the_guest_is_taken_back(lab: RealLab, number: int) -> None:
    """The start is a change of the guest, and so is that it is stopped again."""
    before = traces(lab, "ham0")
    done = lab.run(sys.executable, "-c", BOOT_WITH_A_SIGNAL, *STEPS["the start"], "1", str(number))
    assert (done.returncode, done.stderr) == (129, "")
    assert traces(lab, "ham0") == before


def test_killed_after_the_definition(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    done = lab.run(sys.executable, "-c", BOOT_WITH_A_SIGNAL, *STEPS["the definition"], "9")
    assert done.returncode == -9
    until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_while_libvirtd_does_not_answer(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}\nkill -STOP {LIBVIRTD}; mkfifo /tmp/stopped")
    before = traces(lab, "ham0")
    with started(lab, "boot", "slow", "web") as command:
        open_gate(lab, "ham0")
        until(lambda: "stopped" in sh(lab, "ham0", "ls /tmp"))
        send(command, "INT")
        sh(lab, "ham0", f"rm /tmp/stopped; kill -CONT {LIBVIRTD}")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (130, "", INTERRUPTED)
    assert traces(lab, "ham0") == before
