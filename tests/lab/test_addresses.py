"""Addresses of guests on a network of libvirt, and sshd at them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.boot_sectors import IDLE, run_sector
from tests.lab.support.cli import background, is_on, mclu, virsh
from tests.lab.support.guests import SHIPPED, clean, sh
from tests.lab.support.lab import RealLab
from tests.lab.support.network import has_networks, start_network
from tests.lab.support.terminal import ENTER, LEAVE, terminal_command

_MAC = "52:54:00:00:00:01"
_INTERFACE = f"<interface type='network'><mac address='{_MAC}'/><source network='default'/></interface>"
_STATUS = "/var/lib/libvirt/dnsmasq/virbr0.status"
_LEASE_S = 3600
# A guest agent in shell, which answers two commands (QEMU's qemu-ga-ref).
_AGENT = (
    "exec 3<>$(echo /dev/vport*); while read -r line <&3; do case $line in "
    '*guest-sync*) id=${line##*:}; echo "{\\"return\\":${id%%\\}*}}" >&3 ;; '
    '*interfaces*) echo \'{"return":[{"name":"eth0","ip-addresses":[{"ip-address":"198.51.100.7"},'
    '{"ip-address":"192.0.2.1"},{"ip-address":"127.0.0.1"},{"ip-address":"localhost"},'
    '{"ip-address":"-oProxyCommand=id"},{"ip-address":"::ffff:127.0.0.1"},{"ip-address":"2001:db8::7"}]}]}\' >&3 ;; '
    "esac; done &"
)
_HUNG_AGENT = "exec 3<>$(echo /dev/vport*)"
_SSHD = "while :; do echo SSH-2.0-none | nc -l -p 22; done >/dev/null 2>&1 &"


@pytest.fixture
def network(lab: RealLab) -> Iterator[None]:
    """A network of libvirt on ham0 that assigns addresses to guests."""
    if not has_networks(lab, "ham0"):
        pytest.skip("nodes cannot run networks of libvirt: dnsmasq or libvirt's network driver is missing")
    start_network(lab, "ham0")
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
        console.prompt()
        console.type("root" + ENTER)
        console.expect("~ # ")
        console.type(_SSHD + ENTER)
        out, err = waiting.communicate(timeout=60)
        console.type(LEAVE)
        assert console.end() == 0
    assert (waiting.returncode, out, err) == (0, "ham0:web ssh at 192.0.2.5: SSH-2.0-none\n", "")


def write_leases(lab: RealLab, **ages_s: float) -> None:
    """Let libvirt's DHCP server have leases of db; the keywords are `_` and the address, the values their ages."""
    leases = [
        {
            "ip-address": name[1:].replace("_", "."),
            "mac-address": _MAC,
            "expiry-time": int(time.time() - age_s + _LEASE_S),
        }
        for name, age_s in ages_s.items()
    ]
    lab.run("tee", _STATUS, node="ham0", input=json.dumps(leases))


def run_guest_with_interface(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)", devices=_INTERFACE)


def listed(lab: RealLab) -> list[str]:
    """Return the addresses of db in the output of `list`."""
    return mclu(lab, "list", "--active").out.split()[4:]


@pytest.mark.usefixtures("network")
def test_all_addresses_of_a_guest_are_shown(lab: RealLab) -> None:
    run_guest_with_interface(lab)
    write_leases(lab, _192_0_2_5=-1, _192_0_2_6=-2)
    assert listed(lab) == ["192.0.2.6", "192.0.2.5"]
    assert mclu(lab, "wait", "guest", "db", "ip").out == "ham0:db 192.0.2.6, 192.0.2.5\n"


@pytest.mark.usefixtures("network")
def test_a_lease_from_before_a_power_cut_is_not_the_guests_address(lab: RealLab) -> None:
    run_guest_with_interface(lab)
    write_leases(lab, _192_0_2_5=60)
    assert listed(lab) == []
    result = mclu(lab, "wait", "guest", "db", "ip", "--timeout", "5")
    assert (result.status, result.out) == (1, "")
    assert "db has no known address after 5 s" in result.err


@pytest.mark.lab(on=["ham0", "ham1"])
@pytest.mark.usefixtures("network")
def test_an_old_lease_counts_if_its_address_answers(lab: RealLab) -> None:
    run_guest_with_interface(lab)
    # The address of ham1 stands in for a guest that was restored from saved memory.
    address = sh(lab, "ham0", "getent ahostsv4 ham1").split()[0]
    write_leases(lab, **{f"_{address.replace('.', '_')}": 60})
    assert listed(lab) == [address]


@pytest.mark.usefixtures("network")
def test_the_nodes_own_address_is_not_the_guests(lab: RealLab) -> None:
    run_guest_with_interface(lab)
    write_leases(lab, _192_0_2_1=-1)
    assert listed(lab) == []
    result = mclu(lab, "wait", "guest", "db", "ssh", "--timeout", "1")
    assert (result.status, result.out) == (1, "")


_FORBID_COMMANDS = """
(echo MaxSessions 0; cat /etc/ssh/sshd_config) >/tmp/sshd_config
mount --bind /tmp/sshd_config /etc/ssh/sshd_config
read -r pid </run/sshd.pid; kill $pid; tail --pid=$pid -f /dev/null
/usr/sbin/sshd -E /var/log/sshd
"""


@pytest.mark.usefixtures("network")
def test_guests_are_listed_without_addresses_if_the_node_runs_no_commands(lab: RealLab) -> None:
    run_guest_with_interface(lab)
    write_leases(lab, _192_0_2_5=-1)
    assert listed(lab) == ["192.0.2.5"]
    sh(lab, "ham0", _FORBID_COMMANDS)
    lab.wait("on", "ham0")
    try:
        result = mclu(lab, "list", "--active")
        assert (result.status, result.err) == (0, "")
        assert result.lines == ["ham0:db  running  16M  1vcpus"]
        result = mclu(lab, "wait", "guest", "db", "ip", "--timeout", "1")
        assert "db has no known address after 1 s" in result.err
    finally:
        lab.off("ham0")


@pytest.mark.slow
@pytest.mark.usefixtures("network")
def test_guest_agents_are_asked_and_their_timeout_is_left_alone(lab: RealLab, templates: Path) -> None:
    tiny = (SHIPPED / "tiny.template").read_text().replace("virtio_net e1000", "virtio_net virtio_console e1000")
    (templates / "tiny.template").write_text(tiny)
    (templates / "tiny.template").chmod(0o755)
    assert mclu(lab, "-c", "boot tiny ham0:web; wait guest web console login: --timeout 2m").status == 0
    with terminal_command(lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        console.type("root" + ENTER)
        console.expect("~ # ")
        console.type(_AGENT + ENTER)
        console.expect("~ # ")
        listed = mclu(lab, "list", "--active").out
        assert "198.51.100.7 2001:db8::7" in listed
        assert "192.0.2.1" not in listed.split()
        assert '"addresses": ["198.51.100.7", "2001:db8::7"]' in mclu(lab, "-o", "json", "list", "--active").out
        assert "198.51.100.7, 2001:db8::7" in mclu(lab, "wait", "guest", "web", "ip").out
        # virsh's own timeout would expire after 1 s if mclu had left it.
        console.type("kill $!; " + _HUNG_AGENT + ENTER)
        console.expect("~ # ")
        listing = mclu(lab, "list", "--active")
        assert (listing.status, listing.err) == (0, "")
        asking = lab.run("timeout", "3", "virsh", "qemu-agent-command", "web", '{"execute":"x"}', node="ham0")
        assert asking.returncode == 124, asking
        console.type(LEAVE)
        assert console.end() == 0
