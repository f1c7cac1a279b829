"""The processes of a build: they end with it, and clean up even if the connection is lost."""

import shlex
from pathlib import Path

import pytest

from tests.lab.support.cli import CUT_CONNECTIONS, background, mclu, wait_until
from tests.lab.support.guests import BUILD, IMAGES, WAIT, send_signal, sh, template, traces, wait_for_gate
from tests.lab.support.lab import RealLab
from tests.support.mclu import MCLU

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]

# Clean-ups that write more than the pipe to a dead sshd takes, before they remove the file.
_TALK = "i=0; while [ $i -lt 100 ]; do echo cleaning up; i=$((i + 1)); done; rm /tmp/part"
CLEANUPS = {
    "traps of signals": f"trap {shlex.quote(_TALK)} EXIT; trap 'exit 1' HUP INT TERM; touch /tmp/part; {WAIT}",
    "only an EXIT trap": f"trap {shlex.quote(_TALK)} EXIT; touch /tmp/part; mkfifo gate; sleep 1000",
}


@pytest.mark.parametrize("build", CLEANUPS.values(), ids=CLEANUPS)
@pytest.mark.parametrize("loss", ["mclu is killed", "the connection is cut"])
def test_a_template_cleans_up_when_the_connection_is_lost(lab: RealLab, templates: Path, build: str, loss: str) -> None:
    template(templates, "tidy", build=f"{BUILD}\n{build}")
    before = traces(lab, "ham0")
    with background(lab, "boot", "tidy", "ham0:web") as command:
        wait_for_gate(lab, "ham0")
        if loss == "mclu is killed":
            send_signal(command, "KILL")
        else:
            sh(lab, "ham0", CUT_CONNECTIONS)
        command.communicate(timeout=30)
    wait_until(lambda: traces(lab, "ham0") == before)


def test_a_cloud_template_leaves_no_partial_download(lab: RealLab) -> None:
    mirror, image = "/tmp/mirror", "debian-13-generic-amd64.qcow2"
    sh(lab, "ham0", f"mkdir {mirror}; echo {'0' * 128}  {image} >{mirror}/SHA512SUMS; mkfifo {mirror}/{image}")
    sh(lab, "ham0", f"setsid sh -c '(echo data; exec sleep 999) >{mirror}/{image}' >/dev/null 2>&1 & echo")
    words = ("env", f"MCLU_MIRROR=file://{mirror}", str(MCLU), "boot", "debian-cloud", "ham0:web")
    with background(lab, *words, program=None) as command:
        wait_until(lambda: "part" in sh(lab, "ham0", f"ls {IMAGES}/.mclu-cache 2>&1 || true"))
        send_signal(command, "KILL")
        command.wait(timeout=10)
    wait_until(lambda: "curl" not in sh(lab, "ham0", "ps axww -o comm="))
    wait_until(lambda: ".part" not in sh(lab, "ham0", f"ls {IMAGES}/.mclu-cache"))
    sh(lab, "ham0", "pkill -f 'sleep 99[9]' || true")


def test_background_processes_of_a_successful_build_end_with_it(lab: RealLab, templates: Path) -> None:
    left = "sleep 1001 & setsid sleep 1002 & (setsid sh -c 'sleep 1003; true' &)"
    template(templates, "untidy", build=f"{BUILD}\n{left}\necho 'note: the last line'")
    result = mclu(lab, "boot", "untidy", "ham0:web")
    assert (result.status, result.err) == (0, ""), result
    assert result.lines == ["ham0:web running", "  the last line"]
    assert "sleep 100" not in sh(lab, "ham0", "ps axww -o args=")


def test_a_process_that_escapes_does_not_hold_up_the_boot(lab: RealLab, templates: Path) -> None:
    escape = "env -i setsid sh -c ': >/tmp/free; exec sleep 1004' & until [ -e /tmp/free ]; do sleep 0.1; done"
    template(templates, "daemon", build=f"{BUILD}\necho 'note: kept'\n{escape}")
    result = mclu(lab, "boot", "daemon", "ham0:web")
    assert (result.status, result.lines) == (0, ["ham0:web running", "  kept"]), result
    assert result.seconds < 15
    sh(lab, "ham0", "pkill -f 'sleep 100[4]'")
