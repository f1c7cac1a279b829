"""The libvirt XML of a guest for the capabilities of its node (libvirt's formatdomain.html)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from mclu_shell.cloud.hypervisor.capabilities import Capabilities, Machine
from mclu_shell.errors import TemplateError, UsageError
from mclu_shell.parsing.limits import InvalidData
from mclu_shell.parsing.xml import parse_xml

# The namespace of mclu's metadata in a guest: its template, time of creation, and files.
NAMESPACE = "urn:mclu:1"
GUEST, FILE, LOG = (f"{{{NAMESPACE}}}{tag}" for tag in ("guest", "file", "log"))
ET.register_namespace("mclu", NAMESPACE)

# The disk buses of templates, in libvirt's words.
_BUSES = {"ide": "ide", "virtio": "virtio", "virtio-scsi": "scsi"}
# Each port takes one device. libvirt adds ports only for the devices that a guest starts with, so that none could be
# attached later. virt-install defines the same number.
_ROOT_PORTS = 14
_DEVICES = {"ide": "hda", "virtio": "vda", "scsi": "sda", "sata": "sda"}
# The last on their first controllers; users attach their disks to the first that are free.
_SEED_DEVICES = {"ide": "hdd", "virtio": "vdz", "scsi": "sdg", "sata": "sdf"}


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """The parameters of a new guest.

    `files` are all files of its build, `identities` the inodes and times of birth of these, if known. `network` is the
    type and name of its network (libvirt's interface source).
    `serial_log` is the file for libvirt's log of its serial console; empty for none.
    """

    name: str
    uuid: str
    template: str
    memory_bytes: int
    vcpus: int
    output: str
    disk_format: str
    disk_bus: str
    network_model: str
    mac: str
    network: tuple[str, str]
    files: tuple[str, ...] = ()
    identities: Mapping[str, str] = field(default_factory=dict)
    kernel_arguments: str | None = None
    serial_log: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def domain_xml(guest: DomainSpec, node: Capabilities) -> str:
    """Return the definition of a guest for a node; raise UsageError if the node does not support it."""
    bus = _BUSES[guest.disk_bus]
    machine = _machine(node, bus)
    if machine and guest.vcpus > machine.most_vcpus:
        raise UsageError(f"{guest.vcpus} virtual CPUs are too many: {machine.name} has at most {machine.most_vcpus}")
    if machine and bus not in machine.disk_buses:
        bus = "sata"  # Only the oldest machine type has IDE.
    domain = ET.Element("domain", type=node.virt_type)
    _text(domain, "name", guest.name)
    _text(domain, "uuid", guest.uuid)
    domain.append(_metadata(guest))
    _text(domain, "memory", str(guest.memory_bytes >> 10), unit="KiB")
    _text(domain, "vcpu", str(guest.vcpus))
    _os(domain, guest, node.arch, machine)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    _cpu(domain, node)
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(domain, event, action)
    devices = _devices(domain, guest, node, bus)
    if machine and "q35" in machine.name:
        for model in ("pcie-root", *["pcie-root-port"] * _ROOT_PORTS):
            ET.SubElement(devices, "controller", type="pci", model=model)
    return ET.tostring(domain, encoding="unicode")


def with_metadata(xml: str, guest: DomainSpec) -> str:
    """Return the XML of a template with the guest's UUID and mclu's metadata; raise TemplateError if it is invalid."""
    try:
        domain = parse_xml(xml)
    except InvalidData as error:
        raise TemplateError(f"its xml is not XML ({error.fact})", place=guest.template) from None
    if domain.tag != "domain":
        raise TemplateError(f"its xml is a <{domain.tag}>, not a <domain>", place=guest.template)
    name = domain.findtext("name", "").strip()
    if name != guest.name:
        raise TemplateError(f"its xml names {name!r}, not {guest.name!r}", place=guest.template)
    # If the XML was copied from another guest, its UUID and metadata are that guest's.
    for element in domain.findall("uuid"):
        domain.remove(element)
    metadata = domain.find("metadata")
    if metadata is None:
        metadata = ET.SubElement(domain, "metadata")
    for element in metadata.findall(GUEST):
        metadata.remove(element)
    _text(domain, "uuid", guest.uuid)
    metadata.extend(_metadata(guest))
    return ET.tostring(domain, encoding="unicode")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _metadata(guest: DomainSpec) -> ET.Element:
    metadata = ET.Element("metadata")
    own = ET.SubElement(metadata, GUEST, uuid=guest.uuid)
    _text(own, f"{{{NAMESPACE}}}template", guest.template)
    _text(own, f"{{{NAMESPACE}}}created", guest.created.isoformat(timespec="seconds"))
    for file in guest.files:
        identity = guest.identities.get(file)
        _text(own, FILE, file, **({"id": identity} if identity else {}))
    if guest.serial_log:
        _text(own, LOG, guest.serial_log)
    return metadata


def _machine(node: Capabilities, bus: str) -> Machine | None:
    """Return the newest machine type with this disk bus; without one, the newest machine type."""
    machines = [node.machines[kind] for kind in ("q35", "pc", "") if kind in node.machines]
    return next((machine for machine in machines if bus in machine.disk_buses), machines[0] if machines else None)


def _os(domain: ET.Element, guest: DomainSpec, arch: str, machine: Machine | None) -> None:
    os = ET.SubElement(domain, "os")
    _text(os, "type", "hvm", arch=arch, **({"machine": machine.name} if machine else {}))
    if guest.kernel_arguments is not None:
        _text(os, "kernel", f"{guest.output}.kernel")
        _text(os, "initrd", f"{guest.output}.initrd")
        _text(os, "cmdline", guest.kernel_arguments)
    else:
        ET.SubElement(os, "boot", dev="hd")


def _cpu(domain: ET.Element, node: Capabilities) -> None:
    """Add the CPU with the most features: recent distributions do not boot on QEMU's default model."""
    for mode in ("host-passthrough", "maximum") if node.virt_type == "kvm" else ("maximum",):
        if mode in node.cpu_modes:
            ET.SubElement(domain, "cpu", mode=mode)
            return


def _devices(domain: ET.Element, guest: DomainSpec, node: Capabilities, bus: str) -> ET.Element:
    devices = ET.SubElement(domain, "devices")
    _text(devices, "emulator", node.emulator)
    _disk(devices, guest, bus)
    if f"{guest.output}.seed" in guest.files:
        _seed(devices, guest, bus)
    _interface(devices, guest)
    serial = ET.SubElement(devices, "serial", type="pty")
    if guest.serial_log:
        ET.SubElement(serial, "log", file=guest.serial_log, append="off")
    ET.SubElement(serial, "target", port="0")
    console = ET.SubElement(devices, "console", type="pty")
    ET.SubElement(console, "target", type="serial", port="0")
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if (panic := _panic_model(node)) is not None:
        ET.SubElement(devices, "panic", model=panic)
    if "vnc" in node.graphics:
        ET.SubElement(devices, "graphics", type="vnc", autoport="yes", listen="127.0.0.1")
        _video(devices, node)
    return devices


def _panic_model(node: Capabilities) -> str | None:
    """Return the panic device through which a guest's kernel reports its panic; None if there is none to add.

    libvirt adds those of ppc64 and s390x itself. On x86 QEMU has had `isa` longer than libvirt has reported it.
    """
    models = {"isa"} if node.panic_models is None else node.panic_models
    has_isa = node.arch in ("x86_64", "i686") and bool(node.machines)
    return next((model for model in ("isa", "pvpanic") if model in models and (model != "isa" or has_isa)), None)


def _disk(devices: ET.Element, guest: DomainSpec, bus: str) -> None:
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type=guest.disk_format)
    ET.SubElement(disk, "source", file=guest.output)
    ET.SubElement(disk, "target", dev=_DEVICES[bus], bus=bus)
    if bus == "scsi":
        ET.SubElement(devices, "controller", type="scsi", model="virtio-scsi")


def _seed(devices: ET.Element, guest: DomainSpec, bus: str) -> None:
    # On the bus of the disk, for which the guest certainly has a driver: cloud kernels have none for SATA. virtio-blk
    # has no CD drives.
    disk = ET.SubElement(devices, "disk", type="file", device="disk" if bus == "virtio" else "cdrom")
    ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=f"{guest.output}.seed")
    ET.SubElement(disk, "target", dev=_SEED_DEVICES[bus], bus=bus)
    ET.SubElement(disk, "readonly")


def _interface(devices: ET.Element, guest: DomainSpec) -> None:
    kind, name = guest.network
    interface = ET.SubElement(devices, "interface", type=kind)
    ET.SubElement(interface, "mac", address=guest.mac)
    if name:
        ET.SubElement(interface, "source", {kind: name})
    ET.SubElement(interface, "model", type=guest.network_model)


def _video(devices: ET.Element, node: Capabilities) -> None:
    model = next((model for model in ("virtio", "vga", "cirrus") if model in node.video_models), None)
    if model:
        ET.SubElement(ET.SubElement(devices, "video"), "model", type=model)
