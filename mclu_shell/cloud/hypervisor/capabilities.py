"""A node's domain capabilities (libvirt's formatdomaincaps.html)."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

# A label of the DAC security driver: numbers of a user and a group.
_OWNER = re.compile(r"\+(\d{1,10}):\+(\d{1,10})")


class Machine(NamedTuple):
    """A machine type that a node can emulate: its full name and limits."""

    name: str
    disk_buses: frozenset[str]
    most_vcpus: int


class Capabilities(NamedTuple):
    """The features that a node's libvirt offers guests (virConnectGetDomainCapabilities)."""

    virt_type: str
    emulator: str
    arch: str
    machines: Mapping[str, Machine]
    cpu_modes: frozenset[str]
    video_models: frozenset[str]
    graphics: frozenset[str]
    # None if libvirt is too old to report them.
    panic_models: frozenset[str] | None = None


class Host(NamedTuple):
    """A node as its libvirt describes it (virConnectGetCapabilities).

    `owner` is QEMU's user and group; None if libvirt names none. `networks` has for each of libvirt's networks whether
    it is active, and whether it starts with the node; None without a network driver.
    """

    uuid: str
    version: int
    owner: tuple[int, int] | None
    networks: Mapping[str, tuple[bool, bool]] | None


def parse_host(xml: str) -> tuple[str, tuple[int, int] | None]:
    """Return the host's UUID, and the user and group of QEMU."""
    host = ET.fromstring(xml).find("host")
    uuid = host.findtext("uuid", "").strip() if host is not None else ""
    models = host.findall("secmodel") if host is not None else []
    labels = [model.findtext("baselabel", "") for model in models if model.findtext("model") == "dac"]
    match = _OWNER.fullmatch(labels[0].strip()) if labels else None
    return uuid, (int(match[1]), int(match[2])) if match else None


def parse_capabilities(xmls: Sequence[str]) -> Capabilities:
    """Return the capabilities of a node for one virtualisation type.

    Each XML is the reply for one machine type. The first has the general values, and wins if two describe one type.
    """
    trees = [ET.fromstring(xml) for xml in xmls]
    first = trees[0]
    machines = {_machine_kind(tree): _read_machine(tree) for tree in reversed(trees) if tree.findtext("machine")}
    return Capabilities(
        virt_type=first.findtext("domain", "qemu"),
        emulator=first.findtext("path", ""),
        arch=first.findtext("arch", ""),
        machines=machines,
        cpu_modes=frozenset(
            mode.get("name", "") for mode in first.findall("./cpu/mode") if mode.get("supported") == "yes"
        ),
        video_models=_values(first, "./devices/video", "modelType"),
        graphics=_values(first, "./devices/graphics", "type"),
        panic_models=None if first.find("./devices/panic") is None else _values(first, "./devices/panic", "model"),
    )


def _machine_kind(tree: ET.Element) -> str:
    return next((kind for kind in ("q35", "pc") if kind in tree.findtext("machine", "")), "")


def _read_machine(tree: ET.Element) -> Machine:
    vcpu = tree.find("vcpu")
    most_vcpus = int(vcpu.get("max", "1")) if vcpu is not None else 1
    return Machine(tree.findtext("machine", ""), _values(tree, "./devices/disk", "bus"), most_vcpus)


def _values(tree: ET.Element, device: str, name: str) -> frozenset[str]:
    return frozenset(value.text or "" for value in tree.findall(f"{device}/enum[@name='{name}']/value"))
