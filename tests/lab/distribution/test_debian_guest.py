"""A Debian guest with cloud-init and a guest agent, from its first boot to a power cut of its node."""

import pytest

from tests.lab.support.cli import mclu, wait_until
from tests.lab.support.debian_guest import BOOT_TIMEOUT_S, NAME, NODE, DebianGuest
from tests.lab.support.guests import sh
from tests.lab.support.network import ADDRESS

pytestmark = pytest.mark.slow


# cloud-init


def test_wait_ssh_waits_for_the_sshd_of_a_distribution(booted_guest: DebianGuest) -> None:
    waited = booted_guest.wait("ssh")
    assert (waited.status, waited.err) == (0, ""), waited
    assert waited.out.startswith(f"{NODE}:{NAME} ssh at {ADDRESS}: SSH-2.0-OpenSSH_")


def test_cloud_init_sets_the_host_name_and_time_zone_from_the_seed_on_the_disks_bus(guest: DebianGuest) -> None:
    assert guest.run("hostname; date +%z") == f"{NAME}\n+0530\n"
    source, instance = guest.run("cloud-init query subplatform; cloud-init query instance_id").splitlines()
    assert source == "config-disk (/dev/vdb)"
    assert instance.startswith(f"{NAME}-")


@pytest.mark.parametrize("user", ["root", "debian"])
def test_the_operators_key_logs_in_through_the_node(guest: DebianGuest, user: str) -> None:
    assert guest.run("id -un; sudo -n id -un", user) == f"{user}\nroot\n"


# The guest agent


@pytest.fixture
def second_address(guest: DebianGuest) -> str:
    """An address of the guest that only its agent knows."""
    address = "198.51.100.7"
    guest.run(f"ip address replace {address}/24 dev eth0; systemctl start qemu-guest-agent")
    wait_until(lambda: guest.addresses() == [ADDRESS, address])
    return address


def test_wait_ip_prints_the_addresses_of_the_agent(guest: DebianGuest, second_address: str) -> None:
    assert guest.wait("ip").out == f"{NODE}:{NAME} {ADDRESS}, {second_address}\n"


def test_a_guest_whose_agent_has_stopped_keeps_its_lease(guest: DebianGuest, second_address: str) -> None:
    guest.run("systemctl stop qemu-guest-agent")
    assert guest.addresses() == [ADDRESS]
    assert guest.wait("ip").out == f"{NODE}:{NAME} {ADDRESS}\n"
    guest.run("systemctl start qemu-guest-agent")
    wait_until(lambda: guest.addresses() == [ADDRESS, second_address])


def test_a_hung_agent_delays_list_and_wait_only_by_their_own_timeout(guest: DebianGuest, second_address: str) -> None:
    guest.hang_agent()
    # After the first request, libvirt waits longer for the agent.
    for _ in range(2):
        listed, waited = mclu(guest.lab, "list"), guest.wait("ip")
        assert (listed.status, listed.err) == (0, "")
        assert listed.out.splitlines()[0].split()[4:] == [ADDRESS]
        assert waited.out == f"{NODE}:{NAME} {ADDRESS}\n"
        assert max(listed.seconds, waited.seconds) < 5
    # virsh's own timeout would expire after 1 s if mclu had left it.
    asking = guest.lab.run("timeout", "3", "virsh", "qemu-agent-command", NAME, '{"execute":"x"}', node=NODE)
    assert asking.returncode == 124, asking
    guest.run("pkill -CONT -x qemu-ga")
    wait_until(lambda: guest.addresses() == [ADDRESS, second_address])


# Restarts and ends


def test_a_guest_that_reboots_from_inside_is_always_running(guest: DebianGuest) -> None:
    logins, boot_id = guest.count_logins(), guest.boot_id()
    guest.ssh("systemctl reboot")
    states = set()

    def is_up_again() -> bool:
        states.add(guest.listed()[0])
        return guest.count_logins() > logins

    wait_until(is_up_again, BOOT_TIMEOUT_S)
    assert states == {"running"}
    assert guest.wait("ssh").status == 0
    assert guest.boot_id() != boot_id


def test_the_lease_from_before_a_power_cut_does_not_end_a_wait(guest: DebianGuest) -> None:
    guest.run("echo kept >/root/note; sync")
    guest.lab.off(NODE)
    assert mclu(guest.lab, "on", "--wait", NODE).status == 0
    assert guest.listed("--inactive") == ["shut off", "512M", "1vcpus"]
    assert not guest.is_cleanly_unmounted()
    assert ADDRESS in sh(guest.lab, NODE, "virsh -q net-dhcp-leases default")
    assert guest.mclu("start").out == f"{NODE}:{NAME} started\n"
    # Its firmware takes longer than this command, so the system gets no lease before the link is up.
    mac = guest.virsh("domiflist").split()[-1]
    guest.virsh("domif-setlink", mac, "down")
    early = guest.wait("ip", timeout_s=5)
    assert (early.status, early.out) == (1, "")
    assert f"{NAME} has no known address after 5 s" in early.err
    guest.virsh("domif-setlink", mac, "up")
    assert guest.wait("ip").out == f"{NODE}:{NAME} {ADDRESS}\n"
    assert guest.wait("ssh").status == 0
    assert guest.run("cat /root/note") == "kept\n"


def test_shutdown_uses_acpi_if_there_is_no_agent(guest: DebianGuest) -> None:
    guest.run("systemctl stop qemu-guest-agent")
    result = guest.mclu("shutdown")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} shut down\n", "")
    assert guest.state() == "shut off"
    assert guest.is_cleanly_unmounted()
    assert guest.listed("--inactive") == ["shut off", "512M", "1vcpus"]
