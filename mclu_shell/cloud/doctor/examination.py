"""The examination of one node: everything that the checks need, in a few round trips."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from mclu_shell.cloud.boot.kvm_probe import KVMResult, probe_kvm
from mclu_shell.cloud.doctor.facts import Facts, parse_facts
from mclu_shell.cloud.doctor.script import SCRIPT
from mclu_shell.cloud.guests.survey import NodeSurvey, survey_files
from mclu_shell.cloud.hypervisor.capabilities import Host
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.config import NodeConfig
from mclu_shell.errors import (
    ConnectionLost,
    HostKeyChanged,
    LibvirtDown,
    LibvirtFault,
    MCluError,
    NodeFault,
    NodeOff,
    PromptRequired,
    SSHDown,
    SSHFault,
    Unreachable,
)

_SCRIPT_TIMEOUT_S = 30.0
# libvirt runs an emulator to answer the first query about it.
_CAPABILITIES_TIMEOUT_S = 10.0
# As the files of mclu's guests (cloud/boot/): a disk, and those that the build made with it.
GUEST_FILES = (".qcow2", ".qcow2.seed", ".qcow2.kernel", ".qcow2.initrd")


class Examination(NamedTuple):
    """The results for one node.

    `fault` is the error of the connection to libvirt, `facts` the facts, or the error of the script. `ahead_s` is by
    how much the node's clock is ahead at least; negative if it is behind. `forwards_ports` is None if that was not
    tried. `kvm` is the result of the test, or the reason why libvirt does not offer KVM; None if it was not tested.
    """

    node: NodeConfig
    fault: NodeFault | None = None
    host: Host | None = None
    facts: Facts | MCluError | None = None
    ahead_s: float | None = None
    forwards_ports: bool | None = None
    kvm: KVMResult | str | None = None
    survey: NodeSurvey | None = None
    survey_fault: MCluError | None = None


def examine_guests(node: Node) -> Examination:
    """Examine only what concerns other nodes: the host UUID, the guests and their files."""
    result = _fetch_host(node)
    return _survey_files(node, result) if result.fault is None and node.config.runs_guests else result


def _fetch_host(node: Node) -> Examination:
    try:
        return Examination(node.config, host=node.query(lambda client: client.fetch_host()))
    except NodeFault as error:
        return Examination(node.config, fault=error)


def examine(node: Node, programs: Sequence[str]) -> Examination:
    """Examine a node; `programs` are those to look for."""
    result = _fetch_host(node)
    if not _can_log_in(result.fault) or not node.config.runs_guests:
        return result
    result = _gather_facts(node, result, programs)
    if result.fault is None:
        result = result._replace(forwards_ports=_try_forward(node, result.facts), kvm=_test_kvm(node))
        result = _survey_files(node, result)
    return result


def _can_log_in(fault: NodeFault | None) -> bool:
    """Return whether a command may run: it needs a login, but no libvirt and no forwarding."""
    return not isinstance(fault, NodeOff | Unreachable | SSHDown | HostKeyChanged | PromptRequired)


def _gather_facts(node: Node, result: Examination, programs: Sequence[str]) -> Examination:
    config = node.config
    uid, gid = map(str, result.host.owner) if result.host and result.host.owner else ("", "")
    argv = ["sh", "-c", SCRIPT, "mclu-doctor", config.images, config.mac or "", uid, gid, *programs]
    before = time.time()
    try:
        completed = node.run_without_libvirt(argv, _SCRIPT_TIMEOUT_S)
        facts = parse_facts(node.name, completed.out)
    except MCluError as error:
        return result._replace(facts=error)
    return result._replace(facts=facts, ahead_s=_ahead_s(facts.time_s, before, time.time()))


def _ahead_s(clock: float | None, before: float, after: float) -> float | None:
    """Return by how much a clock is ahead that was read between two times; 0 if it may be right."""
    return None if clock is None else max(0.0, clock - after) + min(0.0, clock - before)


def _try_forward(node: Node, facts: Facts | MCluError | None) -> bool | None:
    """Return whether sshd forwards ports: try its own, which is open."""
    if not isinstance(facts, Facts) or facts.server is None:
        return None
    try:
        node.connect(facts.server).close()
    except ConnectionRefusedError:
        return False
    except (NodeFault, OSError):
        return None
    return True


def _test_kvm(node: Node) -> KVMResult | str | None:
    if node.config.accel == "tcg":
        return None
    try:
        capabilities = node.query(lambda client: client.fetch_capabilities(kvm=True), _CAPABILITIES_TIMEOUT_S)
        if capabilities.virt_type != "kvm":
            return None
        return probe_kvm(node, capabilities.emulator, capabilities.arch)
    except (LibvirtDown, ConnectionLost, SSHFault):
        return None
    except LibvirtFault as error:
        return error.fact.removeprefix("libvirt: ").removeprefix("invalid argument: ")


def _survey_files(node: Node, result: Examination) -> Examination:
    listed = result.facts.images.files if isinstance(result.facts, Facts) else ()
    candidates = [file for file in listed if file.endswith(GUEST_FILES)]
    try:
        return result._replace(survey=survey_files(node, candidates))
    except MCluError as error:
        return result._replace(survey_fault=error)
