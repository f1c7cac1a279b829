"""Checks of UUIDs, which must be unique among hosts and among guests."""

from mclu_shell.cloud.doctor.finding import Finding, fault, fault_for_root, ok, unchecked
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.cloud.state.guest_name import guest_command

_CHANGE = 'echo "host_uuid = \\"$(cat /proc/sys/kernel/random/uuid)\\"" >>/etc/libvirt/{}.conf && systemctl restart {}'


def check_host_uuid(subject: Subject) -> Finding:
    """Check that no other node has the host UUID, without which no guest can be moved."""
    host = subject.own.host
    if host is None or not host.uuid:
        return unchecked("the host UUID is unknown")
    twins = [other.node.name for other in subject.others if other.host is not None and other.host.uuid == host.uuid]
    if not twins:
        return ok("its host UUID is unique")
    programs = subject.facts.programs if subject.facts else ()
    daemon = "virtqemud" if "virtqemud" in programs and "libvirtd" not in programs else "libvirtd"
    return fault_for_root(f"{' and '.join(twins)} has the same host UUID", _CHANGE.format(daemon, daemon))


def check_guest_uuids(subject: Subject) -> Finding:
    """Check that no guest of another node has the UUID of one here: mclu would keep the files of both."""
    survey = subject.own.survey
    if survey is None:
        return unchecked("the guests are unknown")
    name = subject.node.name
    for uuid, guest in survey.definitions.items():
        for other in subject.others:
            if other.survey is not None and uuid in other.survey.definitions:
                twin = f"{other.node.name}:{other.survey.definitions[uuid].name}"
                command = guest_command("destroy", name, guest.name)
                return fault(f"{guest.name} has the UUID of {twin}", f"if it is the copy, run {command}")
    return ok("its guests' UUIDs are unique")
