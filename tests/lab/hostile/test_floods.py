"""Nodes that send without end: they cost their own answer, and neither time nor memory of the others."""

import resource
import time

import pytest

from tests.lab.support.cli import Result, mclu
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("ssh_files")]

_REPLACE = (
    'printf "#!/bin/bash\\n%s\\n" "$1" >/root/sh; chmod 755 /root/sh; mount --bind /root/sh "$(readlink -f /bin/sh)"'
)
FLOODS = {"stdout": "exec yes", "stderr": "exec yes >&2", "both": "yes >&2 & exec yes"}
MOST_MIB = 150


def replace_shell(lab: RealLab, script: str) -> None:
    """Replace /bin/sh on ham1 until the next power cut."""
    lab.run("bash", "-c", _REPLACE, "bash", script, node="ham1")


def limited(lab: RealLab, *words: str) -> Result:
    """Run mclu, and check its time and its memory."""
    started = time.monotonic()
    result = mclu(lab, *words)
    assert time.monotonic() - started < 20
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10 < MOST_MIB
    return result


@pytest.mark.parametrize("via", ["paramiko", "openssh"])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_shell_that_prints_without_end_costs_one_node(lab: RealLab, via: str, flood: str) -> None:
    lab.set_global(f"via={via}")
    replace_shell(lab, FLOODS[flood])
    result = limited(lab, "status")
    assert result.out.startswith("ham0 on\n  total: ")
    assert result.status == 1
    result.assert_error("ham1", "'sh' printed more than 16 MiB")
    lab.off("ham1")
