"""Addresses of guests on a network of libvirt, and sshd at them."""

from collections.abc import Iterator

import pytest

from tests.lab.support.cli import background, is_on, mclu, virsh
from tests.lab.support.guests import clean
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import ENTER, LEAVE, terminal_command

# Other forward modes make libvirt set up a firewall.
_NETWORK = """
<network>
  <name>default</name><forward mode='open'/><bridge name='virbr0'/>
  <ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.5' end='192.0.2.5'/></dhcp></ip>
</network>
"""
_SSHD = "while :; do echo SSH-2.0-none | nc -l -p 22; done >/dev/null 2>&1 &"


@pytest.fixture
def network(lab: RealLab) -> Iterator[None]:
    """A network of libvirt on ham0 that assigns addresses to guests."""
    if lab.run("sh", "-c", "command -v dnsmasq && virsh net-list", node="ham0").returncode:
        pytest.skip("nodes cannot run networks of libvirt: dnsmasq or libvirt's network driver is missing")
    lab.run("tee", "/tmp/network.xml", node="ham0", input=_NETWORK)
    virsh(lab, "ham0", "net-create", "/tmp/network.xml")
    yield
    if is_on(lab, "ham0"):
        clean(lab, "ham0")
        virsh(lab, "ham0", "net-destroy", "default")


@pytest.mark.usefixtures("network", "templates")
def test_wait_guest_ip_and_ssh_wait_for_the_address_and_the_sshd_of_a_new_guest(lab: RealLab) -> None:
    with background(lab, "-c", "boot tiny ham0:web; wait guest web ip --timeout 2m") as booting:
        out, err = booting.communicate(timeout=150)
    assert (booting.returncode, out, err) == (0, "ham0:web running\nham0:web 192.0.2.5\n", "")
    assert "192.0.2.5" in mclu(lab, "list", "--active").out
    early = mclu(lab, "wait", "guest", "web", "ssh", "--timeout", "0.1")
    message = "mclu: ham0: web has no sshd that answers at 192.0.2.5 after 0.1 s\n"
    assert (early.status, early.err) == (1, message)
    with (
        terminal_command(lab, "mclu", "console", "web") as console,
        background(lab, "wait", "guest", "web", "ssh") as waiting,
    ):
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
