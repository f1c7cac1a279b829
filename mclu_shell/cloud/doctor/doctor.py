"""The examination of several nodes, and repairs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.doctor.checks.configuration import check_configuration
from mclu_shell.cloud.doctor.checks.programs import PROGRAMS
from mclu_shell.cloud.doctor.examination import Examination, examine, examine_guests
from mclu_shell.cloud.doctor.finding import Finding, Verdict, fault
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.cloud.doctor.table import judge
from mclu_shell.cloud.guests.survey import Survey
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.templates.programs import Alternatives, collect_programs
from mclu_shell.errors import MCluError, NodeFault, NodeOff

# Without a terminal, sudo could not ask for a password.
_AS_ROOT = """
if [ "$(id -u)" = 0 ]; then sh -c "$1"; else sudo -n sh -c "$1"; fi
"""


class Diagnosis(NamedTuple):
    """The findings for a node; of one that is off, only those about its configuration."""

    node: Node
    is_off: bool
    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict) -> int:
        """Return the number of findings with a verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)


def diagnose(cloud: Cloud, nodes: Sequence[Node], required: Sequence[Node]) -> list[Diagnosis]:
    """Examine nodes in parallel, and return their findings; it is a fault if a required node is off.

    Of the other nodes, only the UUIDs, guests and files are compared.
    """
    programs = collect_programs()
    names = tuple(dict.fromkeys((*PROGRAMS, *(name for needed in programs for name in needed))))
    outcomes = cloud.query(lambda node: examine(node, names) if node in nodes else examine_guests(node))
    examinations = [_result(outcome) for outcome in outcomes]
    survey = _survey(examinations)
    return [
        _diagnose(node, own, [other for other in examinations if other is not own], survey, programs, required)
        for node, own in zip(cloud.nodes, examinations, strict=True)
        if node in nodes
    ]


def _result(outcome: Outcome[Node, Examination]) -> Examination:
    if outcome.error is None:
        return outcome.unwrap()
    error = outcome.error
    known = error if isinstance(error, NodeFault) else NodeFault(error.fact, place=error.place, remedy=error.remedy)
    return Examination(outcome.item.config, fault=known)


def _survey(examinations: Sequence[Examination]) -> Survey:
    """Return the guests and files of all nodes."""
    surveys = {one.node.name: one.survey for one in examinations if one.survey is not None}
    unknown = [one.node.name for one in examinations if one.survey is None and one.node.runs_guests]
    return Survey(surveys, {name: NodeFault("was not examined", place=name) for name in unknown}, {})


def _diagnose(
    node: Node,
    own: Examination,
    others: Sequence[Examination],
    survey: Survey,
    programs: Mapping[Alternatives, tuple[str, ...]],
    required: Sequence[Node],
) -> Diagnosis:
    configuration = check_configuration(own.node, [other.node for other in others])._replace(check="configuration")
    if isinstance(own.fault, NodeOff):
        off = (fault(own.fault.fact, own.fault.remedy)._replace(check="power"),) if node in required else ()
        return Diagnosis(node, is_off=True, findings=(configuration, *off))
    return Diagnosis(node, is_off=False, findings=(configuration, *judge(Subject(own, others, survey, programs))))


def repair(node: Node, finding: Finding) -> None:
    """Run the remedy of a finding on its node; raise MCluError if it fails."""
    completed = node.repair(["sh", "-c", _AS_ROOT, "mclu-repair", finding.repair])
    if completed.status != 0:
        lines = (completed.err or completed.out).strip().splitlines()
        reason = lines[-1] if lines else f"exit status {completed.status}"
        raise MCluError(f"cannot repair {finding.check}: {reason}", place=node.name, remedy=finding.remedy)
