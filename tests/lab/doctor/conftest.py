"""Nodes that lack nothing, and the findings of `doctor`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab.support.cli import mclu
from tests.lab.support.guests import SHIPPED, sh
from tests.lab.support.lab import RealLab
from tests.output.schema_check import read_one

# A network without DHCP and firewall rules, which need programs that this machine may lack.
_NETWORK = """
virsh net-info default && exit
cat >/tmp/network.xml <<'END'
<network>
  <name>default</name><forward mode='open'/><bridge name='virbr0'/><dns enable='no'/>
  <ip address='192.168.150.1' netmask='255.255.255.0'/>
</network>
END
# As libvirt's package does.
mkdir -p /var/lib/libvirt/dnsmasq
virsh net-define /tmp/network.xml && virsh net-start default && virsh net-autostart default
rm /tmp/network.xml
"""
# Programs of templates that this machine may lack; only a node has them here. They end with its power.
_PROGRAMS = """
mount -t tmpfs tmpfs /usr/local/bin
for program in virt-builder xorrisofs ethtool; do ln -s /bin/true /usr/local/bin/$program; done
"""


class Result(NamedTuple):
    """The result of `doctor` as JSON: the exit status, and (verdict, fact, remedy) by node and check."""

    status: int
    checks: dict[str, dict[str, tuple[str, str, str]]]
    seconds: float

    def bad(self, node: str) -> dict[str, str]:
        """Return the verdicts of the checks that a node has not passed."""
        return {check: one[0] for check, one in self.checks[node].items() if one[0] in ("fault", "warning")}


Doctor = Callable[..., Result]


@pytest.fixture
def doctor(lab: RealLab, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run `doctor -o json` on nodes that lack nothing."""
    monkeypatch.setenv("MCLU_PATH", str(SHIPPED))
    for node, state in lab.states().items():
        if state == "on":
            sh(lab, node, _PROGRAMS)
            lab.run("sh", "-c", _NETWORK, node=node)

    def run(*words: str) -> Result:
        result = mclu(lab, "-o", "json", "doctor", *words)
        examined = read_one(result.out)["examined"]
        checks = {
            one["node"]: {c["check"]: (c["verdict"], c["fact"], c["remedy"] or "") for c in one["checks"]}
            for one in examined
        }
        return Result(result.status, checks, result.seconds)

    return run


def write_file(lab: RealLab, node: str, path: str, text: str) -> None:
    """Write an executable file of a node."""
    lab.run("tee", path, node=node, input=text)
    sh(lab, node, f"chmod 755 {Path(path)}")
