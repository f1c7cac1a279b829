"""The address of a guest on libvirt's own network of its node, and what listens there."""

from collections.abc import Iterator

import pytest

from tests.lab.support.cli import is_on, mclu, started, virsh
from tests.lab.support.guests import SHIPPED, clean
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import ENTER, typed

LEAVE = "\x1d"
# Without a `forward` of its own mode, libvirt would want a firewall.
_NETWORK = """
<network>
  <name>default</name><forward mode='open'/><bridge name='virbr0'/>
  <ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.5' end='192.0.2.5'/></dhcp></ip>
</network>
"""
_SSHD = "while :; do echo SSH-2.0-none | nc -l -p 22; done >/dev/null 2>&1 &"


@pytest.fixture
def lab(cloud: RealLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealLab]:
    """ham0 has a network, which gives its guests addresses; the templates are those that come with mclu."""
    monkeypatch.setenv("MCLU_PATH", str(SHIPPED))
    clean(cloud, "ham0")
    if cloud.run("sh", "-c", "command -v dnsmasq && virsh net-list", node="ham0").returncode:
        pytest.skip("nodes have no networks of libvirt's: there is no dnsmasq, or libvirt's network driver")
    cloud.run("tee", "/tmp/network.xml", node="ham0", input=_NETWORK)
    virsh(cloud, "ham0", "net-create", "/tmp/network.xml")
    yield cloud
    if is_on(cloud, "ham0"):
        clean(cloud, "ham0")
        virsh(cloud, "ham0", "net-destroy", "default")


def test_a_new_guest_is_waited_for_until_it_has_an_address_and_an_sshd_answers_there(lab: RealLab) -> None:
    with started(lab, "-c", "boot tiny ham0:web; wait guest web ip --timeout 2m") as booting:
        out, err = booting.communicate(timeout=150)
    assert (booting.returncode, out, err) == (0, "ham0:web running\nham0:web 192.0.2.5\n", "")
    assert "192.0.2.5" in mclu(lab, "list", "--active").out
    none_yet = mclu(lab, "wait", "guest", "web", "ssh", "--timeout", "0.1")
    complaint = "mclu: ham0: web has no sshd that answers at 192.0.2.5 after 0.1 s\n"
    assert (none_yet.status, none_yet.err) == (1, complaint)
    with typed(lab, "mclu", "console", "web") as console, started(lab, "wait", "guest", "web", "ssh") as waiting:
        console.expect("Connected to ham0:web")
        console.type(ENTER)
        console.expect("web login: ")
        console.type("root" + ENTER)
        console.expect("~ # ")
        console.type(_SSHD + ENTER)
        out, err = waiting.communicate(timeout=60)
        console.type(LEAVE)
        assert console.end() == 0
    assert (waiting.returncode, out, err) == (0, "ham0:web ssh at 192.0.2.5: SSH-2.0-none\n", "")
