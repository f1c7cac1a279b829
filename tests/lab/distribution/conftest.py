"""Fixtures of a real distribution as guest, which takes half a minute to boot: all tests share it.

Each test begins with a guest that accepts logins, and may leave it in any state. To save boots, tests that stop the
guest come last, and begin with its snapshot.
"""

import pytest

from tests.lab.support.debian_guest import DebianGuest, boot_debian
from tests.lab.support.lab import RealLab


@pytest.fixture(scope="module")
def booted_guest(lab4: RealLab) -> DebianGuest:
    """The guest 123 with 512M memory, in the state that the previous test left."""
    return boot_debian(lab4, "--timezone", "Asia/Kolkata")


@pytest.fixture
def guest(booted_guest: DebianGuest) -> DebianGuest:
    """The guest 123, whose sshd answers."""
    booted_guest.make_reachable()
    return booted_guest
