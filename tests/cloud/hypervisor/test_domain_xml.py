from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from mclu_shell.cloud.hypervisor.capabilities import Capabilities, Machine, parse_capabilities
from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, claimed_files, disk_files, own_files, own_logs
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec, domain_xml, with_metadata
from mclu_shell.cloud.hypervisor.file_names import FileNames
from mclu_shell.errors import TemplateError

NODE = Capabilities(
    virt_type="qemu",
    emulator="/usr/bin/qemu-system-x86_64",
    arch="x86_64",
    machines={
        "q35": Machine("pc-q35-7.2", frozenset({"virtio", "scsi", "sata"}), 288),
        "pc": Machine("pc-i440fx-7.2", frozenset({"virtio", "scsi", "ide"}), 255),
    },
    cpu_modes=frozenset({"maximum", "host-passthrough"}),
    video_models=frozenset({"vga", "cirrus"}),
    graphics=frozenset({"vnc", "spice"}),
)
GUEST = DomainSpec(
    name="web",
    uuid="6f3a2f0e-0000-4000-8000-000000000001",
    template="tiny",
    memory_bytes=1 << 30,
    vcpus=2,
    output="/images/web.qcow2",
    disk_format="qcow2",
    disk_bus="virtio",
    network_model="virtio",
    mac="52:54:00:00:00:01",
    network=("network", "default"),
    files=("/images/web.qcow2", "/images/web.qcow2.seed"),
)


def defined(xml: str) -> DomainDefinition:
    return DomainDefinition("web", (xml,), (), (), names=FileNames("/images", is_system=True))


def built(guest: DomainSpec = GUEST, node: Capabilities = NODE) -> ET.Element:
    return ET.fromstring(domain_xml(guest, node))


def test_the_domain_has_the_requested_resources() -> None:
    domain = built()
    assert (domain.get("type"), domain.findtext("name"), domain.findtext("vcpu")) == ("qemu", "web", "2")
    memory = domain.find("memory")
    assert memory is not None
    assert (memory.text, memory.get("unit")) == (str(1 << 20), "KiB")
    assert [mac.get("address") for mac in domain.findall("./devices/interface/mac")] == ["52:54:00:00:00:01"]


def test_the_domain_has_a_serial_console_a_guest_agent_and_vnc_on_loopback() -> None:
    domain = built()
    assert domain.find("./devices/serial") is not None
    channel = domain.find("./devices/channel/target")
    assert channel is not None
    assert channel.get("name") == "org.qemu.guest_agent.0"
    assert [graphics.get("listen") for graphics in domain.findall("./devices/graphics")] == ["127.0.0.1"]


def test_the_log_of_the_serial_console_belongs_to_the_guest() -> None:
    xml = domain_xml(replace(GUEST, serial_log="/var/log/libvirt/qemu/web.serial"), NODE)
    log = ET.fromstring(xml).find("./devices/serial/log")
    assert log is not None
    # Output of an earlier run would be mistaken for output of this one.
    assert log.attrib == {"file": "/var/log/libvirt/qemu/web.serial", "append": "off"}
    assert own_logs(defined(xml)) == ("/var/log/libvirt/qemu/web.serial",)
    assert "web.serial" not in "".join(claimed_files(defined(xml)))
    assert (built().find("./devices/serial/log"), own_logs(defined(domain_xml(GUEST, NODE)))) == (None, ())


def test_the_cpu_is_the_hosts_with_kvm_and_the_maximum_without() -> None:
    modes = [
        [cpu.get("mode") for cpu in built(node=NODE._replace(virt_type=kind)).findall("cpu")]
        for kind in ("kvm", "qemu")
    ]
    assert modes == [["host-passthrough"], ["maximum"]]


@pytest.mark.parametrize(
    ("disk_bus", "machine", "device", "bus"),
    [("virtio", "pc-q35-7.2", "vda", "virtio"), ("virtio-scsi", "pc-q35-7.2", "sda", "scsi"),
     ("ide", "pc-i440fx-7.2", "hda", "ide")],
)  # fmt: skip
def test_the_disk_is_on_the_bus_of_the_template(disk_bus: str, machine: str, device: str, bus: str) -> None:
    domain = built(replace(GUEST, disk_bus=disk_bus))
    assert [kind.get("machine") for kind in domain.findall("./os/type")] == [machine]
    target = domain.find("./devices/disk[@device='disk']/target")
    assert target is not None
    assert (target.get("dev"), target.get("bus")) == (device, bus)


def test_only_q35_has_spare_ports_for_devices() -> None:
    ports = "./devices/controller[@model='pcie-root-port']"
    assert [len(built(replace(GUEST, disk_bus=bus)).findall(ports)) for bus in ("virtio", "ide")] == [14, 0]


def test_direct_kernel_boot_needs_kernel_arguments() -> None:
    assert built().findtext("./os/kernel") is None
    domain = built(replace(GUEST, kernel_arguments="console=ttyS0"))
    direct_boot = [domain.findtext(f"./os/{tag}") for tag in ("kernel", "initrd", "cmdline")]
    assert direct_boot == ["/images/web.qcow2.kernel", "/images/web.qcow2.initrd", "console=ttyS0"]


def test_a_seed_is_a_cd_rom() -> None:
    assert disk_files(domain_xml(GUEST, NODE)) == GUEST.files
    assert disk_files(domain_xml(replace(GUEST, files=GUEST.files[:1]), NODE)) == GUEST.files[:1]


def test_own_files_are_read_from_the_metadata() -> None:
    assert own_files(defined(domain_xml(GUEST, NODE))) == GUEST.files
    assert own_files(defined("<domain><name>web</name></domain>")) == ()


def test_special_characters_in_names_are_escaped() -> None:
    nasty = "<x>&'\""
    assert claimed_files(defined(domain_xml(replace(GUEST, files=(nasty,)), NODE))) == (nasty,)


def test_the_xml_of_a_template_keeps_its_elements_and_gets_metadata() -> None:
    xml = with_metadata("<domain type='qemu'><name>web</name><odd/></domain>", GUEST)
    assert own_files(defined(xml)) == GUEST.files
    assert ET.fromstring(xml).find("odd") is not None


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<domain", "tiny: its xml is not XML"),
        ("<network><name>web</name></network>", "tiny: its xml is a <network>, not a <domain>"),
        ("<domain><name>db</name></domain>", "tiny: its xml names 'db', not 'web'"),
    ],
)
def test_invalid_xml_of_a_template_is_refused(xml: str, message: str) -> None:
    with pytest.raises(TemplateError) as error:
        with_metadata(xml, GUEST)
    assert str(error.value).startswith(message)


def test_capabilities_are_parsed_from_libvirts_xml() -> None:
    answer = """<domainCapabilities><path>/bin/q</path><domain>kvm</domain><machine>{}</machine><arch>x86_64</arch>
    <vcpu max='8'/><cpu><mode name='maximum' supported='yes'/><mode name='host-passthrough' supported='no'/></cpu>
    <devices><disk supported='yes'><enum name='bus'><value>{}</value></enum></disk>
    <graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
    <video supported='yes'><enum name='modelType'><value>vga</value></enum></video></devices></domainCapabilities>"""
    parsed = parse_capabilities([answer.format("pc-i440fx-9", "ide"), answer.format("pc-q35-9", "sata")])
    assert (parsed.virt_type, parsed.emulator, parsed.arch) == ("kvm", "/bin/q", "x86_64")
    assert parsed.machines == {
        "pc": Machine("pc-i440fx-9", frozenset({"ide"}), 8),
        "q35": Machine("pc-q35-9", frozenset({"sata"}), 8),
    }
    assert (parsed.cpu_modes, parsed.video_models, parsed.graphics) == (
        frozenset({"maximum"}),
        frozenset({"vga"}),
        frozenset({"vnc"}),
    )


@pytest.mark.parametrize(
    ("disk_bus", "device", "bus"),
    [("virtio", "disk", "virtio"), ("virtio-scsi", "cdrom", "scsi"), ("ide", "cdrom", "ide")],
)
def test_the_seed_is_on_the_bus_of_the_disk(disk_bus: str, device: str, bus: str) -> None:
    disk, seed = built(replace(GUEST, disk_bus=disk_bus)).findall("./devices/disk")
    targets = [target.get("bus") for item in (disk, seed) if (target := item.find("target")) is not None]
    assert (seed.get("device"), targets) == (device, [bus, bus])
    assert seed.find("readonly") is not None


@pytest.mark.parametrize(
    ("node", "models"),
    [
        (NODE, ["isa"]),
        (NODE._replace(panic_models=frozenset({"isa", "pvpanic"})), ["isa"]),
        (NODE._replace(panic_models=frozenset()), []),
        (NODE._replace(arch="aarch64"), []),
        (NODE._replace(arch="aarch64", panic_models=frozenset({"pvpanic"})), ["pvpanic"]),
    ],
)
def test_a_panic_of_the_kernel_reaches_libvirt(node: Capabilities, models: list[str]) -> None:
    assert [panic.get("model") for panic in built(node=node).findall("./devices/panic")] == models
