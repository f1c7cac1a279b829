"""A Debian guest with cloud-init and a guest agent, from its first boot to a power cut of its node."""

import pytest

from tests.lab.support.debian_guest import NAME, NODE, DebianGuest
from tests.lab.support.network import ADDRESS

pytestmark = pytest.mark.slow


# cloud-init


def test_wait_ssh_waits_for_the_sshd_of_a_distribution(booted_guest: DebianGuest) -> None:
    waited = booted_guest.wait("ssh")
    assert (waited.status, waited.err) == (0, ""), waited
    assert waited.out.startswith(f"{NODE}:{NAME} ssh at {ADDRESS}: SSH-2.0-OpenSSH_")


def test_cloud_init_sets_the_host_name_and_time_zone_from_the_seed_on_the_disks_bus(guest: DebianGuest) -> None:
    assert guest.run("cloud-init status --wait").strip().endswith("status: done")
    assert guest.run("hostname; date +%z") == f"{NAME}\n+0530\n"
    source, instance = guest.run("cloud-init query subplatform; cloud-init query instance_id").splitlines()
    assert source == "config-disk (/dev/vdb)"
    assert instance.startswith(f"{NAME}-")


@pytest.mark.parametrize("user", ["root", "debian"])
def test_the_operators_key_logs_in_through_the_node(guest: DebianGuest, user: str) -> None:
    assert guest.run("id -un; sudo -n id -un", user) == f"{user}\nroot\n"
