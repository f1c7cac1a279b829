"""Which files belong to a guest, and which it names: read from its definition and those of its snapshots."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from mclu_shell.cloud.domainxml import FILE, GUEST


@dataclass(frozen=True, slots=True)
class Definition:
    """A guest as libvirt has it: its persistent XML, then those of what runs or is saved, and of its snapshots.

    `volumes` are the paths of those of its disks that it names by storage pool and volume.
    """

    name: str
    xmls: tuple[str, ...]
    snapshots: tuple[str, ...]
    volumes: tuple[str, ...]


def own_files(xml: str) -> tuple[str, ...]:
    """The files that mclu made for a guest, from its definition; not those of a guest that it is a copy of."""
    domain = ET.fromstring(xml)
    own = domain.find(f"./metadata/{GUEST}")
    if own is None or own.get("uuid") != domain.findtext("uuid", "").strip():
        return ()
    return tuple(file.text for file in own.findall(FILE) if file.text)


def disk_files(xml: str) -> tuple[str, ...]:
    """The files and devices that a guest's disks are, or in a snapshot's description were."""
    sources = ET.fromstring(xml).findall(".//disk/source")
    return tuple(dict.fromkeys(path for source in sources if (path := source.get("file") or source.get("dev"))))


def volumes(xml: str) -> tuple[tuple[str, str], ...]:
    """The storage pools and volumes in them that a guest's disks are."""
    sources = ET.fromstring(xml).findall(".//disk//source[@pool]")
    return tuple((source.get("pool", ""), source.get("volume", "")) for source in sources)


def overlay_files(snapshot_xml: str) -> tuple[str, ...]:
    """The files that libvirt made for an external snapshot (its formatsnapshot.html)."""
    snapshot = ET.fromstring(snapshot_xml)
    disks = snapshot.findall("./disks/disk[@snapshot='external']/source[@file]")
    memory = snapshot.findall("./memory[@snapshot='external'][@file]")
    return tuple(element.get("file", "") for element in (*disks, *memory))


def named_paths(xml: str) -> frozenset[str]:
    """Every absolute path that a definition names but for mclu's notes: disks, kernel, firmware, QEMU's own options."""
    root = ET.fromstring(xml)
    for parent in [root, *root.iter("domain")]:
        for metadata in parent.findall("metadata"):
            parent.remove(metadata)
    words = [word for element in root.iter() for word in (element.text or "", *element.attrib.values())]
    parts = [part.strip() for word in words for part in (word, *re.split("[=,]", word))]
    return frozenset(part for part in parts if part.startswith("/"))
