"""A node's domain capabilities (libvirt's formatdomaincaps.html)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from mclu_shell.parsing.limits import parse_count
from mclu_shell.parsing.xml import parse_xml


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


def parse_capabilities(xmls: Sequence[str]) -> Capabilities:
    """Return the capabilities of a node for one virtualisation type.

    Each XML is the reply for one machine type. The first has the general values, and wins if two describe one type.
    """
    trees = [parse_xml(xml) for xml in xmls]
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
    most_vcpus = parse_count(vcpu.get("max", "1")) if vcpu is not None else 1
    return Machine(tree.findtext("machine", ""), _values(tree, "./devices/disk", "bus"), most_vcpus)


def _values(tree: ET.Element, device: str, name: str) -> frozenset[str]:
    return frozenset(value.text or "" for value in tree.findall(f"{device}/enum[@name='{name}']/value"))
