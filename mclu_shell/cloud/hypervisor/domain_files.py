"""The files of a guest, and the paths that it uses, from the XML of its definition and snapshots."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.etree import ElementTree as ET

from mclu_shell.cloud.hypervisor.domain_xml import FILE, GUEST, LOG
from mclu_shell.cloud.hypervisor.file_names import FileNames
from mclu_shell.cloud.hypervisor.image_names import find_named_paths
from mclu_shell.parsing.xml import parse_xml

# libvirt passes these options to QEMU (drvqemu.html), whose working directory is /.
# The definitions in a snapshot, at its time and of the next start.
_DOMAINS = ("domain", "inactiveDomain")
_QEMU_OPTION = "{http://libvirt.org/schemas/domain/qemu/1.0}arg"


class DomainDefinition(NamedTuple):
    """The XML of a guest, and the names of all that libvirt keeps for it.

    `xmls` has the persistent definition, then that of the running guest and of its saved memory, if any. `volumes` are
    the paths of the disks that are given by storage pool and volume. `kept` names, for example, "snapshot one".
    `names` are those of files on the guest's node.
    """

    name: str
    xmls: tuple[str, ...]
    snapshots: tuple[str, ...]
    volumes: tuple[str, ...]
    kept: tuple[str, ...] = ()
    is_active: bool = False
    # libvirt can undefine the guest without the state of its TPM.
    can_keep_tpm: bool = True
    is_persistent: bool = True
    names: FileNames = FileNames()

    def stopped(self) -> "DomainDefinition":
        """Return the definition as it is after the guest has stopped."""
        return self._replace(xmls=self.xmls[:1], is_active=False) if self.is_active else self


def own_files(guest: DomainDefinition) -> tuple[str, ...]:
    """Return the files that mclu created for a guest: those in its metadata that have a name of mclu's.

    The copy of a guest (virt-clone) has none. Files of a guest that was renamed since are the user's.
    """
    return tuple(file for file in claimed_files(guest) if guest.names.is_built(file, guest.name))


def own_logs(guest: DomainDefinition) -> tuple[str, ...]:
    """Return the console logs that mclu set up for a guest."""
    logs = _metadata_paths(guest.xmls[0], LOG)
    return tuple(log for log in logs if log == guest.names.console_log(guest.name))


def claimed_files(guest: DomainDefinition) -> tuple[str, ...]:
    """Return all files in a guest's metadata, which may be wrong: it came with an imported or migrated guest."""
    return _metadata_paths(guest.xmls[0], FILE)


def file_identities(guest: DomainDefinition) -> dict[str, str]:
    """Return the inodes and times of birth of the files that mclu created, by path; earlier versions noted none."""
    return {file.text: file.get("id", "") for file in _metadata(guest.xmls[0], FILE) if file.text}


def _metadata_paths(xml: str, tag: str) -> tuple[str, ...]:
    return tuple(file.text for file in _metadata(xml, tag) if file.text)


def _metadata(xml: str, tag: str) -> list[ET.Element]:
    domain = parse_xml(xml)
    own = domain.find(f"./metadata/{GUEST}")
    if own is None or own.get("uuid") != domain.findtext("uuid", "").strip():
        return []
    return own.findall(tag)


def disk_files(xml: str) -> tuple[str, ...]:
    """Return the files, devices and directories of a guest's disks, now or at the time of a snapshot."""
    sources = parse_xml(xml).findall(".//disk/source")
    paths = (source.get("file") or source.get("dev") or source.get("dir") for source in sources)
    return tuple(dict.fromkeys(filter(None, paths)))


def required_disks(xml: str) -> tuple[str, ...]:
    """Return the files and devices of a guest's disks, without those that are optional at its start (startupPolicy)."""
    sources = parse_xml(xml).findall("./devices/disk/source")
    required = [source for source in sources if source.get("startupPolicy") != "optional"]
    return tuple(path for source in required if (path := source.get("file") or source.get("dev")))


def volumes(xml: str) -> tuple[tuple[str, str], ...]:
    """Return the disks of a guest that are given as storage pool and volume."""
    sources = parse_xml(xml).findall(".//disk//source[@pool]")
    return tuple((source.get("pool", ""), source.get("volume", "")) for source in sources)


def path_in_pool(pool_xml: str, volume: str) -> str:
    """Return the file of a volume, from the XML of its storage pool; empty if the pool is not a directory."""
    directory = parse_xml(pool_xml).findtext("./target/path", "")
    return f"{directory}/{volume}" if directory else ""


def disks_without_path(guest: DomainDefinition) -> tuple[str, ...]:
    """Return names for the disks of a guest that have no path: network disks, and volumes of a missing pool."""
    disks = []
    for xml in guest.xmls:
        sources = parse_xml(xml).findall(".//disk/source[@protocol]")
        disks += [f"{source.get('protocol')}:{source.get('name', '')}" for source in sources]
        disks += [f"{pool}/{name}" for pool, name in volumes(xml) if not _has_path(guest, name)]
    return tuple(dict.fromkeys(disks))


def _has_path(guest: DomainDefinition, volume: str) -> bool:
    return any(path.endswith(f"/{volume}") for path in guest.volumes)


def overlay_files(snapshot_xml: str) -> tuple[str, ...]:
    """Return the disks of an external snapshot, which libvirt created or reused (libvirt's formatsnapshot.html)."""
    sources = parse_xml(snapshot_xml).findall("./disks/disk[@snapshot='external']/source[@file]")
    return tuple(source.get("file", "") for source in sources)


def overlay_names(snapshot_xml: str, disks: Iterable[str]) -> frozenset[str]:
    """Return the names that libvirt chooses for overlays: those of the disks, with the snapshot's name as suffix."""
    snapshot = snapshot_name(snapshot_xml)
    return frozenset(f"{disk.rpartition('.')[0]}.{snapshot}" for disk in disks)


def memory_files(snapshot_xml: str) -> tuple[str, ...]:
    """Return the memory files of an external snapshot."""
    memories = parse_xml(snapshot_xml).findall("./memory[@snapshot='external'][@file]")
    return tuple(memory.get("file", "") for memory in memories)


def backing_files(xml: str) -> dict[str, tuple[str, ...]]:
    """Return the backing files of each disk file by libvirt's XML, which may differ from the headers of the files."""
    backing: dict[str, tuple[str, ...]] = {}
    for disk in parse_xml(xml).iter("disk"):
        stores = [disk, *disk.iter("backingStore")]
        sources = [source for store in stores if (source := store.find("source")) is not None]
        chain = tuple(file for source in sources if (file := source.get("file") or source.get("dev")))
        for i, file in enumerate(chain[:-1]):
            backing[file] = backing.get(file, ()) + chain[i + 1 :]
    return backing


def nvram_files(xml: str) -> tuple[str, ...]:
    """Return the files with the settings of a guest's firmware, which libvirt deletes with the guest."""
    files = []
    for nvram in parse_xml(xml).findall("./os/nvram"):
        source = nvram.find("source")
        path = (source.get("file") or source.get("dev")) if source is not None else nvram.text
        files += [path.strip()] if path and path.strip() else []
    return tuple(files)


def has_tpm_state(xml: str) -> bool:
    """Return whether libvirt stores the state of an emulated TPM of a guest."""
    return parse_xml(xml).find("./devices/tpm/backend[@type='emulator']") is not None


def snapshot_name(xml: str) -> str:
    """Return the name of a snapshot."""
    return parse_xml(xml).findtext("name", "")


def named_paths(xml: str) -> frozenset[str]:
    """Return all absolute paths in a definition outside its metadata: disks, kernel, firmware, QEMU options."""
    root = parse_xml(xml)
    for parent in [root, *root.iter("domain")]:
        for metadata in parent.findall("metadata"):
            parent.remove(metadata)
    return frozenset(path for text in _texts(root) for path in find_named_paths(text)) | option_paths(root)


def written_paths(root: ET.Element) -> frozenset[str]:
    """Return the paths of files that a guest writes, other than disks: those of its devices, firmware and memory."""
    domains = [root, *(domain for tag in _DOMAINS for domain in root.findall(tag))]
    devices = [one for domain in domains for one in domain.iterfind("./devices/*") if one.tag != "disk"]
    tops = [
        *devices,
        *(nvram for domain in domains for nvram in domain.iterfind("./os/nvram")),
        *root.findall("memory"),
    ]
    return frozenset(path for top in tops for text in _texts(top) for path in find_named_paths(text))


def _texts(top: ET.Element) -> Iterator[str]:
    for element in top.iter():
        yield from (element.text or "", *element.attrib.values())


def option_paths(root: ET.Element) -> frozenset[str]:
    """Return the paths in a definition's options for QEMU, which may open any files."""
    options = [option.get("value", "") for option in root.iter(_QEMU_OPTION)]
    return frozenset(path for option in options for path in find_named_paths(option, "/"))


def referenced_files(guest: DomainDefinition) -> frozenset[str]:
    """Return every path that a guest or one of its snapshots names, and the files of its volumes."""
    return frozenset().union(guest.volumes, *(named_paths(xml) for xml in guest.xmls + guest.snapshots))


def noted_files(guest: DomainDefinition) -> tuple[str, ...]:
    """Return the files that mclu or a snapshot may have made for a guest."""
    files = [file for xml in guest.snapshots for file in (*overlay_files(xml), *memory_files(xml))]
    made = [file for file in files if guest.names.is_snapshot_file(file, guest.name)]
    return tuple(dict.fromkeys((*own_files(guest), *made)))


def disks(guest: DomainDefinition) -> tuple[str, ...]:
    """Return a guest's disks, including those at the time of each snapshot."""
    files = [disk for xml in guest.xmls + guest.snapshots for disk in disk_files(xml)]
    return tuple(dict.fromkeys([*files, *guest.volumes]))


def backing_chains(guest: DomainDefinition) -> Iterator[tuple[str, ...]]:
    """Yield each disk file that has backing files in libvirt's XML, followed by those."""
    for xml in guest.xmls + guest.snapshots:
        yield from ((file, *bases) for file, bases in backing_files(xml).items())


def chain_files(guest: DomainDefinition) -> Iterator[str]:
    """Yield the files of all backing chains in libvirt's XML."""
    return (file for chain in backing_chains(guest) for file in chain)
