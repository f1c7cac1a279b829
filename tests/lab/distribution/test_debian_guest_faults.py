"""A Debian guest whose node has no space for its disk, whose agent hangs, and whose kernel panics."""

from collections.abc import Iterator

import pytest

from tests.lab.support.boot_sectors import wait_for_state
from tests.lab.support.cli import LIMIT_S, wait_until
from tests.lab.support.debian_guest import NAME, NODE, DebianGuest, boot_debian
from tests.lab.support.guests import IMAGES, images, sh, states
from tests.lab.support.lab import RealLab
from tests.lab.support.network import ADDRESS

pytestmark = pytest.mark.slow

_FILL = "head -c 64M /dev/zero | tr '\\0' x >/fill; sync; touch /filled"


@pytest.fixture(scope="module")
def booted_guest(lab4: RealLab) -> DebianGuest:
    """The guest 123 on a file system that can be made smaller, in the state that the previous test left."""
    sh(lab4, NODE, f"mount -t tmpfs none {IMAGES}")
    return boot_debian(lab4)


def resize(guest: DebianGuest, free_mib: int) -> None:
    """Give the file system of the guest's disk this much free space."""
    used_kib = int(sh(guest.lab, NODE, f"df --output=used -k {IMAGES}").split()[1])
    sh(guest.lab, NODE, f"mount -o remount,size={used_kib + free_mib * 1024}K {IMAGES}")


@pytest.fixture
def full_disk(guest: DebianGuest) -> Iterator[None]:
    """The file system of the guest's disk with little free space."""
    resize(guest, 8)
    yield
    resize(guest, 256)


@pytest.mark.usefixtures("full_disk")
def test_a_guest_on_a_full_disk_is_paused_until_there_is_space(guest: DebianGuest) -> None:
    guest.run(f'nohup sh -c "{_FILL}" >/dev/null 2>&1 &')
    wait_for_state(guest.lab, NODE, NAME, "paused (I/O error)")
    assert guest.listed() == ["paused (I/O error)", "512M", "1vcpus", ADDRESS]
    result = guest.mclu("start")
    error = f"{NAME} is paused again: I/O error: vda: no space; free disk space on the node, then run 'start ham0:123'"
    assert (result.status, result.out, result.err) == (1, "", f"mclu: {NODE}: {error}\n")
    resize(guest, 256)
    result = guest.mclu("start")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} resumed\n", "")
    wait_until(lambda: guest.ssh("test -e /filled").returncode == 0, 60)
    assert guest.run("wc -c </fill; tr -d x </fill | wc -c").split() == [str(64 << 20), "0"]


def test_reboot_does_not_depend_on_a_hung_agent(guest: DebianGuest) -> None:
    logins, boot_id = guest.count_logins(), guest.boot_id()
    guest.hang_agent()
    result = guest.mclu("reboot")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} reboot requested\n", "")
    assert result.seconds < LIMIT_S
    # The login prompts from before the reboot do not count.
    assert guest.wait("console", "login: ").status == 0
    assert guest.count_logins() > logins
    assert guest.wait("ssh").status == 0
    assert guest.boot_id() != boot_id


def test_shutdown_does_not_depend_on_a_hung_agent(guest: DebianGuest) -> None:
    guest.hang_agent()
    result = guest.mclu("shutdown")
    assert (result.status, result.out, result.err) == (0, f"{NODE}:{NAME} shut down\n", "")
    assert result.seconds < 30
    assert guest.is_cleanly_unmounted()
    assert guest.mclu("start").out == f"{NODE}:{NAME} started\n"


def test_a_panic_is_shown_and_start_and_destroy_help(guest: DebianGuest) -> None:
    guest.ssh("echo c >/proc/sysrq-trigger")
    assert guest.wait("off").out == f"{NODE}:{NAME} shut off (crashed)\n"
    assert guest.listed("--inactive") == ["shut off (crashed)", "512M", "1vcpus"]
    assert "Kernel panic - not syncing: sysrq triggered crash" in guest.console()
    assert guest.mclu("start").out == f"{NODE}:{NAME} started\n"
    assert guest.mclu("destroy").status == 0
    assert states(guest.lab, NODE) == {}
    assert images(guest.lab, NODE) == [".mclu-cache"]
