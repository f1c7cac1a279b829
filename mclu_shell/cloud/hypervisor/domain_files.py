"""Which files belong to a guest, and which it names: read from its definition and those of its snapshots."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from xml.etree import ElementTree as ET

from mclu_shell.cloud.hypervisor.domain_xml import FILE, GUEST, LOG


class DomainDefinition(NamedTuple):
    """A guest as libvirt has it: its persistent XML, then those of what runs or is saved, and of its snapshots.

    `volumes` are the paths of those of its disks that it names by storage pool and volume.
    """

    name: str
    xmls: tuple[str, ...]
    snapshots: tuple[str, ...]
    volumes: tuple[str, ...]


def own_files(xml: str) -> tuple[str, ...]:
    """The files that mclu made for a guest, from its definition; not those of a guest that it is a copy of."""
    return _noted(xml, FILE)


def own_logs(xml: str) -> tuple[str, ...]:
    """The logs of its console that mclu has libvirt write for a guest, which are no disks."""
    return _noted(xml, LOG)


def _noted(xml: str, tag: str) -> tuple[str, ...]:
    domain = ET.fromstring(xml)
    own = domain.find(f"./metadata/{GUEST}")
    if own is None or own.get("uuid") != domain.findtext("uuid", "").strip():
        return ()
    return tuple(file.text for file in own.findall(tag) if file.text)


def disk_files(xml: str) -> tuple[str, ...]:
    """The files, devices and directories that a guest's disks are, or in a snapshot's description were."""
    sources = ET.fromstring(xml).findall(".//disk/source")
    paths = (source.get("file") or source.get("dev") or source.get("dir") for source in sources)
    return tuple(dict.fromkeys(filter(None, paths)))


def needed_disks(xml: str) -> tuple[str, ...]:
    """The files and devices that are a guest's disks, but for those without which it may start (startupPolicy)."""
    sources = ET.fromstring(xml).findall("./devices/disk/source")
    needed = [source for source in sources if source.get("startupPolicy") != "optional"]
    return tuple(path for source in needed if (path := source.get("file") or source.get("dev")))


def volumes(xml: str) -> tuple[tuple[str, str], ...]:
    """The storage pools and volumes in them that a guest's disks are."""
    sources = ET.fromstring(xml).findall(".//disk//source[@pool]")
    return tuple((source.get("pool", ""), source.get("volume", "")) for source in sources)


def path_in_pool(pool_xml: str, volume: str) -> str:
    """The file of a volume, from the XML of its storage pool; empty if the pool is no directory."""
    directory = ET.fromstring(pool_xml).findtext("./target/path", "")
    return f"{directory}/{volume}" if directory else ""


def disks_without_path(guest: DomainDefinition) -> tuple[str, ...]:
    """Those of a guest's disks that no path stands for, as one may call them: on the network, or of a lost pool."""
    found = []
    for xml in guest.xmls:
        sources = ET.fromstring(xml).findall(".//disk/source[@protocol]")
        found += [f"{source.get('protocol')}:{source.get('name', '')}" for source in sources]
        found += [f"{pool}/{name}" for pool, name in volumes(xml) if not _has_path(guest, name)]
    return tuple(dict.fromkeys(found))


def _has_path(guest: DomainDefinition, volume: str) -> bool:
    return any(path.endswith(f"/{volume}") for path in guest.volumes)


def overlay_files(snapshot_xml: str) -> tuple[str, ...]:
    """The disks of an external snapshot: libvirt made them, or was told to use them (its formatsnapshot.html)."""
    sources = ET.fromstring(snapshot_xml).findall("./disks/disk[@snapshot='external']/source[@file]")
    return tuple(source.get("file", "") for source in sources)


def is_named_by_libvirt(overlay: str, snapshot_xml: str, disks: Iterable[str]) -> bool:
    """Whether an overlay has the name that libvirt makes up: the disk's, its suffix replaced by the snapshot's name."""
    snapshot = ET.fromstring(snapshot_xml).findtext("name", "")
    return overlay in {f"{disk.rpartition('.')[0]}.{snapshot}" for disk in disks}


def memory_files(snapshot_xml: str) -> tuple[str, ...]:
    """The files that libvirt has written the memory of an external snapshot to."""
    found = ET.fromstring(snapshot_xml).findall("./memory[@snapshot='external'][@file]")
    return tuple(memory.get("file", "") for memory in found)


def backing_files(xml: str) -> dict[str, tuple[str, ...]]:
    """What libvirt has each file of a guest's disks built on, whatever is written in the file itself."""
    found: dict[str, tuple[str, ...]] = {}
    for disk in ET.fromstring(xml).iter("disk"):
        stores = [disk, *disk.iter("backingStore")]
        sources = [source for store in stores if (source := store.find("source")) is not None]
        chain = tuple(file for source in sources if (file := source.get("file") or source.get("dev")))
        for i, file in enumerate(chain[:-1]):
            found[file] = found.get(file, ()) + chain[i + 1 :]
    return found


def nvram_files(xml: str) -> tuple[str, ...]:
    """Where a guest's firmware keeps its settings: libvirt deletes this together with the guest."""
    found = []
    for nvram in ET.fromstring(xml).findall("./os/nvram"):
        source = nvram.find("source")
        given = (source.get("file") or source.get("dev")) if source is not None else nvram.text
        found += [given.strip()] if given and given.strip() else []
    return tuple(found)


def named_paths(xml: str) -> frozenset[str]:
    """Every absolute path that a definition names but for mclu's notes: disks, kernel, firmware, QEMU's own options."""
    root = ET.fromstring(xml)
    for parent in [root, *root.iter("domain")]:
        for metadata in parent.findall("metadata"):
            parent.remove(metadata)
    words = [word for element in root.iter() for word in (element.text or "", *element.attrib.values())]
    parts = [part.strip() for word in words for part in (word, *re.split("[=,]", word))]
    return frozenset(part for part in parts if part.startswith("/"))


def referenced_files(guest: DomainDefinition) -> frozenset[str]:
    """Return every path that a guest or one of its snapshots names, and the files of its volumes."""
    return frozenset().union(guest.volumes, *(named_paths(xml) for xml in guest.xmls + guest.snapshots))


def mac_addresses(xml: str) -> list[str]:
    """The MAC addresses of a guest's interfaces."""
    from xml.etree import ElementTree as ET

    found = ET.fromstring(xml).findall("./devices/interface/mac")
    return [mac.get("address", "").lower() for mac in found]
