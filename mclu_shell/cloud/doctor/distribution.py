"""Packages and services by distribution, for remedies."""

from collections.abc import Collection, Sequence
from enum import Enum


class Distribution(Enum):
    """A family of distributions, by the names in os-release(5)."""

    DEBIAN = ("debian", "ubuntu")
    FEDORA = ("fedora", "rhel", "centos")
    ARCH = ("arch",)
    SUSE = ("suse", "opensuse", "sles")
    OTHER = ()


_INSTALL = {
    Distribution.DEBIAN: "apt install",
    Distribution.FEDORA: "dnf install",
    Distribution.ARCH: "pacman -S",
    Distribution.SUSE: "zypper install",
}
_LIBVIRT = {
    Distribution.DEBIAN: "libvirt-daemon-system",
    Distribution.FEDORA: "libvirt-daemon-kvm",
    Distribution.ARCH: "libvirt qemu-base dnsmasq",
    Distribution.SUSE: "libvirt-daemon-qemu libvirt-daemon-config-network qemu-kvm",
}
# By program: the package, where its name differs from the program's.
_PACKAGES = {
    "flock": {None: "util-linux"},
    "setsid": {None: "util-linux"},
    "timeout": {None: "coreutils"},
    "modinfo": {None: "kmod"},
    "qemu-img": {Distribution.DEBIAN: "qemu-utils"},
    "virt-builder": {None: "guestfs-tools"},
    "xorrisofs": {None: "xorriso", Distribution.ARCH: "libisoburn"},
    "genisoimage": {None: "xorriso", Distribution.ARCH: "libisoburn"},
    "mkisofs": {None: "xorriso", Distribution.ARCH: "libisoburn"},
    "virsh": {Distribution.DEBIAN: "libvirt-clients", Distribution.ARCH: "libvirt", None: "libvirt-client"},
}


def find_distribution(names: Collection[str]) -> Distribution:
    """Return the distribution of the names ID and ID_LIKE."""
    # openSUSE has names such as opensuse-tumbleweed.
    known = {part for name in names for part in (name, name.partition("-")[0])}
    return next((each for each in Distribution if not known.isdisjoint(each.value)), Distribution.OTHER)


def install_programs(distribution: Distribution, programs: Sequence[str]) -> str:
    """Return the command that installs programs; for an unknown distribution, a description of it."""
    packages = dict.fromkeys(_package(distribution, program) for program in programs)
    return _install(distribution, " ".join(packages))


def install_libvirt(distribution: Distribution) -> str:
    """Return the command that installs libvirt with QEMU."""
    return _install(distribution, _LIBVIRT.get(distribution, "libvirt and qemu"))


def _package(distribution: Distribution, program: str) -> str:
    packages: dict[Distribution | None, str] = _PACKAGES.get(program, {})  # type: ignore[assignment]
    return packages.get(distribution) or packages.get(None) or program


def _install(distribution: Distribution, packages: str) -> str:
    return f"{_INSTALL[distribution]} {packages}" if distribution in _INSTALL else f"install {packages}"
