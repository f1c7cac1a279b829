"""A Debian guest with cloud-init and a guest agent, from its first boot to a kernel panic."""

from collections.abc import Iterator

import pytest

from tests.lab.support.boot_sectors import wait_for_state
from tests.lab.support.cli import LIMIT_S, background, mclu, wait_until
from tests.lab.support.debian_guest import BOOT_MESSAGE, BOOT_TIMEOUT_S, NAME, NODE, DebianGuest
from tests.lab.support.guests import images, sh, states
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
    # The next boots are quicker without it.
    guest.run("touch /etc/cloud/cloud-init.disabled")


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


# Ends and restarts. QEMU resets a guest in the same process, where emulation is then twice as slow. So no test needs a
# whole boot after a reset.


@pytest.fixture(scope="module")
def snapshot(booted_guest: DebianGuest) -> str:
    """A snapshot of the guest that accepts logins, because a boot takes half a minute."""
    booted_guest.make_reachable()
    booted_guest.virsh("snapshot-create-as", "--name", "reachable")
    return "reachable"


@pytest.fixture
def ready_guest(booted_guest: DebianGuest, snapshot: str) -> DebianGuest:
    """The guest 123, as it was when it accepted logins."""
    booted_guest.virsh("snapshot-revert", snapshot)
    booted_guest.make_reachable()
    return booted_guest


def test_a_guest_that_reboots_from_inside_is_always_running(ready_guest: DebianGuest) -> None:
    boots = ready_guest.count_boots()
    with background(ready_guest.lab, "wait", "guest", NAME, "off") as waiting:
        ready_guest.ssh("systemctl reboot")
        assert ready_guest.listed()[0] == "running"
        wait_until(lambda: ready_guest.count_boots() > boots, BOOT_TIMEOUT_S)
        assert ready_guest.listed()[0] == "running"
        assert waiting.poll() is None


def test_reboot_does_not_depend_on_a_hung_agent(ready_guest: DebianGuest) -> None:
    boots = ready_guest.count_boots()
    ready_guest.hang_agent()
    result = ready_guest.mclu("reboot")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} reboot requested\n", "")
    assert result.seconds < LIMIT_S
    # The message of the kernel from before the reboot does not count.
    assert ready_guest.wait("console", BOOT_MESSAGE).status == 0
    assert ready_guest.count_boots() > boots


def test_shutdown_uses_acpi_if_there_is_no_agent(ready_guest: DebianGuest) -> None:
    ready_guest.run("systemctl stop qemu-guest-agent")
    result = ready_guest.mclu("shutdown")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} shut down\n", "")
    assert ready_guest.state() == "shut off"
    assert ready_guest.is_cleanly_unmounted()
    assert ready_guest.listed("--inactive") == ["shut off", "512M", "1vcpus"]


def test_shutdown_does_not_depend_on_a_hung_agent(ready_guest: DebianGuest) -> None:
    ready_guest.hang_agent()
    result = ready_guest.mclu("shutdown")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} shut down\n", "")
    assert result.seconds < 30
    assert ready_guest.is_cleanly_unmounted()


# Faults: the lease of a guest that has booted is its address, also when it is paused.


def test_the_lease_from_before_a_power_cut_does_not_end_a_wait(ready_guest: DebianGuest) -> None:
    ready_guest.run("echo kept >/root/note; sync")
    ready_guest.lab.off(NODE)
    assert mclu(ready_guest.lab, "on", "--wait", NODE).status == 0
    assert ready_guest.listed("--inactive") == ["shut off", "512M", "1vcpus"]
    assert not ready_guest.is_cleanly_unmounted()
    assert ADDRESS in sh(ready_guest.lab, NODE, "virsh -q net-dhcp-leases default")
    assert ready_guest.mclu("start").out == f"{NODE}:{NAME} started\n"
    # Its firmware takes longer than this command, so the system gets no lease before the link is up.
    mac = ready_guest.virsh("domiflist").split()[-1]
    ready_guest.virsh("domif-setlink", mac, "down")
    early = ready_guest.wait("ip", timeout_s=5)
    assert (early.status, early.out) == (1, "")
    assert f"{NAME} has no known address after 5 s" in early.err
    ready_guest.virsh("domif-setlink", mac, "up")
    assert ready_guest.wait("ip").out == f"{NODE}:{NAME} {ADDRESS}\n"
    assert ready_guest.wait("ssh").status == 0
    assert ready_guest.run("cat /root/note") == "kept\n"


_SMALL = "/run/small"


def grow(guest: DebianGuest) -> None:
    """Make space on the file system of the fixture `full_disk`."""
    sh(guest.lab, NODE, f"mount -o remount,size=256M {_SMALL}")


@pytest.fixture
def full_disk(guest: DebianGuest) -> Iterator[None]:
    """A file system with little free space, to which the guest's disk writes."""
    sh(guest.lab, NODE, f"mkdir -p {_SMALL}; mount -t tmpfs -o size=8M none {_SMALL}")
    guest.virsh("snapshot-create-as", "--disk-only", "--no-metadata", "--diskspec", f"vda,file={_SMALL}/overlay")
    yield
    grow(guest)
    guest.virsh("blockcommit", "vda", "--active", "--pivot", "--wait")
    sh(guest.lab, NODE, f"umount {_SMALL}")


@pytest.mark.usefixtures("full_disk")
def test_a_guest_on_a_full_disk_is_paused_until_there_is_space(guest: DebianGuest) -> None:
    fill = "head -c 32M /dev/zero | tr '\\0' x >/fill; sync; touch /filled"
    guest.run(f'nohup sh -c "{fill}" >/dev/null 2>&1 &')
    wait_for_state(guest.lab, NODE, NAME, "paused (I/O error)")
    assert guest.listed() == ["paused (I/O error)", "512M", "1vcpus", ADDRESS]
    result = guest.mclu("start")
    error = f"{NAME} is paused again: I/O error: vda: no space; free disk space on the node, then run 'start ham0:123'"
    assert (result.status, result.out, result.err) == (1, "", f"mclu: {NODE}: {error}\n")
    grow(guest)
    result = guest.mclu("start")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} resumed\n", "")
    wait_until(lambda: guest.ssh("test -e /filled").returncode == 0, 60)
    assert guest.run("wc -c </fill; tr -d x </fill | wc -c").split() == [str(32 << 20), "0"]


def test_a_panic_is_shown_and_start_and_destroy_help(guest: DebianGuest) -> None:
    guest.ssh("echo c >/proc/sysrq-trigger")
    assert guest.wait("off").out == f"{NODE}:{NAME} shut off (crashed)\n"
    assert guest.listed("--inactive") == ["shut off (crashed)", "512M", "1vcpus"]
    assert "Kernel panic - not syncing: sysrq triggered crash" in guest.console()
    assert guest.mclu("start").out == f"{NODE}:{NAME} started\n"
    assert guest.mclu("destroy").status == 0
    assert states(guest.lab, NODE) == {}
    assert images(guest.lab, NODE) == [".mclu-cache"]
