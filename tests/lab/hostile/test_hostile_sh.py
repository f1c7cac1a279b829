"""A node whose /bin/sh writes without end: the others answer, and mclu stays small.

In each of these tests, ham1 has the fault, ham0 and ham2 are idle, and ham3 is off.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.support.lab import RealLab
from tests.shell.terminal import Terminal

pytestmark = pytest.mark.lab(on=["ham0", "ham1", "ham2"])

ON = r"ham{} on\n  total: \d+pcpus \S+\n  free: \S+\n"
MOST_KIB = 100 << 10
# A flooding shell may also run the command; the end of that is not the end of its output.
FLOODS = {"stdout": "exec cat /dev/zero", "stderr": "exec yes >&2", "beside": 'yes >&2 & exec /run/sh "$@"'}
REPLACE = """
cp /bin/sh /run/sh
printf '#!/run/sh\\n%s\\n' "$1" >/run/flood
chmod 755 /run/flood
mount --bind /run/flood "$(readlink -f /bin/sh)"
"""
MEASURE = """
import json, resource, subprocess, sys, time
started = time.monotonic()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=60)
used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, done.stdout, done.stderr, time.monotonic() - started, used]))
"""


@pytest.fixture
def replace_sh(lab: RealLab) -> Iterator[Callable[[str], None]]:
    """Replace /bin/sh of ham1, whose power is cut after the test."""

    def replace(flood: str) -> None:
        completed = lab.run("bash", "-c", REPLACE, "bash", FLOODS[flood], node="ham1")
        assert completed.returncode == 0, completed.stderr

    yield replace
    lab.off("ham1")


@pytest.mark.parametrize(("flood", "via"), [("stderr", "auto"), ("stdout", "openssh"), ("beside", "openssh")])
def test_status_reports_the_node_in_time_and_the_others(
    lab: RealLab, ssh_files: Path, replace_sh: Callable[[str], None], flood: str, via: str
) -> None:
    lab.set_global(f"via={via}")
    replace_sh(flood)
    status, out, err, seconds, used_kib = json.loads(lab.python(MEASURE, "mclu", "status"))
    assert status == 1
    assert err == (
        "mclu: ham1: 'sh' sent more than 4096 KiB; check /bin/sh there, and the login shell with its start-up files\n"
    )
    expected = ON.format(0) + r"ham1 on, 'sh' sent more than 4096 KiB\n" + ON.format(2) + "ham3 off\n"
    assert re.fullmatch(expected, out), out
    assert seconds < 10
    assert used_kib < MOST_KIB


def test_an_open_shell_stays_small_and_answers(
    lab: RealLab, replace_sh: Callable[[str], None], shells: Callable[[], Terminal]
) -> None:
    shell = shells()
    shell.expect_toolbar("3 on  1 off")
    before = peak_kib(shell.pid)
    replace_sh("beside")
    shell.run("status")
    shell.expect_toolbar("2 on  1 off  0 guests running  ham1: 'sh' sent more than 4096 KiB")
    for _ in range(3):
        assert "ham0 on" in shell.answer("status ham0")
    assert "Traceback" not in shell.screen
    assert peak_kib(shell.pid) - before < MOST_KIB // 2


def peak_kib(pid: int) -> int:
    """Return the most memory that a process or one that it has started has used (proc_pid_status(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max([own, *(peak_kib(int(child)) for child in children)])
