"""The definitions of all guests of a node. Errors are libvirt's."""

from collections.abc import Collection
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from mclu_shell.cloud.concurrency.fanout import as_completed
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    has_tpm_state,
    path_in_pool,
    snapshot_name,
    volumes,
)
from mclu_shell.cloud.hypervisor.domain_xml import NAMESPACE

# The filters of `_listings`: one call for each, instead of several calls for each guest.
_FILTERS = {
    "active": libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE,
    "persistent": libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT,
    "saved": libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
    "snapshots": libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT,
    "checkpoints": libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT,
}
# The first version with VIR_DOMAIN_UNDEFINE_KEEP_TPM, 8.9.
_KEEPS_TPM = 8_009_000
# Calls that wait for their replies on one connection.
_PARALLEL_CALLS = 16
_NO_TEMPLATE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_METADATA)
# The guest, its saved memory, a snapshot or a checkpoint is gone by now.
_GONE = (
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT,
    libvirt.VIR_ERR_NO_DOMAIN_CHECKPOINT,
)


def fetch_definitions(connection: Any) -> dict[str, DomainDefinition]:
    """Return the definitions of all guests by UUID; read a guest again that changes at the same time."""
    definitions = {}
    domains = connection.listAllDomains()
    listings = _listings(connection)
    for domain in domains:
        uuid = domain.UUIDString()
        try:
            definitions[uuid] = _fetch(connection, domain, listings.get(uuid, frozenset()))
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _GONE:
                raise
            definitions |= _fetch_again(connection, domain, uuid)
    return definitions


def _fetch_again(connection: Any, domain: Any, uuid: str) -> dict[str, DomainDefinition]:
    """Return the definition of one guest after a change; empty if the guest is gone."""
    try:
        return {uuid: _fetch(connection, domain, _listings(connection).get(uuid, frozenset()))}
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return {}
        raise


def fetch_templates(connection: Any, uuids: Collection[str]) -> dict[str, str]:
    """Return the templates of guests by UUID; empty for a guest that mclu did not create or that is gone."""
    domains = [domain for domain in connection.listAllDomains() if domain.UUIDString() in uuids]
    shares = [domains[first::_PARALLEL_CALLS] for first in range(min(len(domains), _PARALLEL_CALLS))]
    templates = dict.fromkeys(uuids, "")
    for outcome in as_completed(shares, lambda share: [(one.UUIDString(), _fetch_template(one)) for one in share]):
        templates.update(outcome.unwrap())
    return templates


def _fetch_template(domain: Any) -> str:
    try:
        xml = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
        # libvirt removes the namespace.
        return ET.fromstring(xml).findtext("{*}template", "").strip()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _NO_TEMPLATE:
            raise
        return ""
    except ET.ParseError:
        # Anybody may write into the metadata.
        return ""


def _listings(connection: Any) -> dict[str, frozenset[str]]:
    """Return the filters that match each guest, by UUID."""
    listings: dict[str, frozenset[str]] = {}
    for name, flag in _FILTERS.items():
        for domain in connection.listAllDomains(flag):
            uuid = domain.UUIDString()
            listings[uuid] = listings.get(uuid, frozenset()) | {name}
    return listings


def _fetch(connection: Any, domain: Any, listed: frozenset[str]) -> DomainDefinition:
    xmls = [domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)]
    if "active" in listed:
        xmls.append(domain.XMLDesc(0))
    # The test: driver cannot read saved memory.
    if "saved" in listed and connection.getType() != "TEST":
        xmls.append(domain.managedSaveGetXMLDesc(0))
    snapshots = [snapshot.getXMLDesc(0) for snapshot in (domain.listAllSnapshots() if "snapshots" in listed else ())]
    checkpoints = [one.getName() for one in (domain.listAllCheckpoints() if "checkpoints" in listed else ())]
    names = sorted({volume for xml in (*xmls, *snapshots) for volume in volumes(xml)})
    paths = (_volume_path(connection, *name) for name in names)
    kept = (
        *(("saved memory",) if "saved" in listed else ()),
        *sorted(f"snapshot {snapshot_name(xml)}" for xml in snapshots),
        *sorted(f"checkpoint {name}" for name in checkpoints),
        *(("TPM state",) if has_tpm_state(xmls[0]) else ()),
    )
    volume_files = tuple(filter(None, paths))
    can_keep_tpm = connection.getLibVersion() >= _KEEPS_TPM if has_tpm_state(xmls[0]) else True
    return DomainDefinition(
        domain.name(),
        tuple(xmls),
        tuple(snapshots),
        volume_files,
        kept,
        is_active="active" in listed,
        can_keep_tpm=can_keep_tpm,
        is_persistent="persistent" in listed,
    )


def _volume_path(connection: Any, pool: str, volume: str) -> str:
    """Return the file of a volume, also if its pool is inactive; empty if there is no such pool."""
    try:
        return path_in_pool(connection.storagePoolLookupByName(pool).XMLDesc(0), volume)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_SUPPORT):
            return ""
        raise
