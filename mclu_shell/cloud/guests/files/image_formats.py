"""The formats of disk images, from the XML of guests: a guest that writes to its raw disk could imitate any format."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, option_paths, referenced_files, written_paths
from mclu_shell.parsing.xml import parse_xml

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# The format of files that are not opened: the whole content of a raw disk, a log or NVRAM is the guest's.
RAW = "raw"
# The format is unknown: qemu-img reads it from the file.
UNKNOWN = ""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


def find_formats(guests: Iterable[DomainDefinition]) -> dict[str, str]:
    """Return the format of each file that guests name; RAW for a file with data of a guest."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for guest in guests:
        roots = [parse_xml(xml) for xml in (*guest.xmls, *guest.snapshots)]
        disks = [pair for root in roots for pair in _disk_formats(root, guest.volumes)]
        written = {file for root in roots for file in written_paths(root)}
        others = referenced_files(guest) - {file for file, _ in disks} - written
        others |= {file for root in roots for file in option_paths(root)}
        for file, kind in (*disks, *((file, RAW) for file in written), *((file, UNKNOWN) for file in others)):
            found[file].add(kind)
    return {file: merge_formats(kinds) for file, kinds in found.items()}


def merge_formats(kinds: Iterable[str]) -> str:
    """Return the format of a file from several sources; UNKNOWN if they contradict each other."""
    images = set(kinds) - {RAW}
    return images.pop() if len(images) == 1 else UNKNOWN if images else RAW


def known_format(kind: object) -> str:
    """Return the name of a format; UNKNOWN for anything else."""
    return kind if isinstance(kind, str) and _NAME.fullmatch(kind) else UNKNOWN


def _disk_formats(root: "ET.Element", volumes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of disks with their formats (libvirt's formatdomain.html, `<driver>` and `<backingStore>`)."""
    for disk in root.iter("disk"):
        driver = disk.find("driver")
        # libvirt's defaults.
        default = "qcow2" if disk.get("snapshot") else RAW
        kind = known_format(driver.get("type", default) if driver is not None else default)
        yield from ((file, kind) for file in _files(disk, volumes))
        for store in (*disk.iter("backingStore"), *disk.iter("mirror")):
            form = store.find("format")
            kind = known_format(form.get("type") if form is not None else UNKNOWN)
            yield from ((file, kind) for file in _files(store, volumes))


def _files(store: "ET.Element", volumes: Iterable[str]) -> Iterator[str]:
    for source in store.findall("source"):
        if path := source.get("file") or source.get("dev"):
            yield path
        elif name := source.get("volume"):
            yield from (volume for volume in volumes if volume.endswith(f"/{name}"))
