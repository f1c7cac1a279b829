"""Find what is wrong with nodes, and the remedy.

All nodes are examined in parallel, with one script and a few queries to libvirt. A check has one of these results:
  ok           as it should be
  warning      it restricts what mclu can do, or may become a fault
  fault        mclu cannot do what it is for, or is configured to do
  not checked  does not apply, or cannot be checked

With a fault, the exit status is 1. For a node that is off, only its configuration is checked; that a node is off is a
fault only if it was named. Nothing is changed without --fix or --boot.

--fix runs the remedies that are harmless, such as starting a network, after asking for each; with --yes it does not
ask. Then the nodes are examined again. --boot boots a guest of the template tiny on each node, waits for its login
prompt, and destroys it.

Examples:
  doctor
  doctor ham1 --fix
  doctor 'ham*' --boot
"""

import argparse
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import MCluError, Refused, Unhealthy
from mclu_shell.output.results import Entry, Result, Text
from mclu_shell.output.text_renderer import printable

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.doctor.doctor import Diagnosis
    from mclu_shell.cloud.doctor.finding import Finding
    from mclu_shell.cloud.nodes.node import Node
    from mclu_shell.output.schema.record import Record

GROUP = Group.NODES
DOCUMENT = ("examined", "repairs")


def add_arguments(parser: Parser) -> None:
    """Add nodes or wildcards, --fix and --boot."""
    parser.add_argument("nodes", nargs="*", metavar="NODE", type=types.NODE, help="node or wildcard (default: all)")
    parser.add_argument("--fix", action="store_true", help="run the remedies that are harmless, asking for each")
    parser.add_argument("-y", "--yes", action="store_true", help="with --fix: do not ask")
    parser.add_argument("--boot", action="store_true", help="boot a small guest on each node, and destroy it")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield an entry per node, after repairs and trials."""
    if args.fix and not args.yes and context.confirm is None:
        raise Refused("repairs require confirmation", remedy="add --yes, or leave out --fix")
    diagnoses = _diagnose(context.cloud, context, args)
    if args.fix:
        repaired = yield from _repair(context, diagnoses, args)
        if repaired:
            diagnoses = _diagnose(context.cloud, context, args)
    if args.boot:
        diagnoses = list(_try_boots(context, diagnoses))
    yield from _report(diagnoses)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the same entries, then the repairs and boots that a real run would offer."""
    diagnoses = _diagnose(context.dry_run_cloud, context, args)
    yield from _report(diagnoses)
    for node, finding in _repairable(diagnoses) if args.fix else ():
        data = partial(_repaired, node, finding, "planned")
        yield Text(f"would run on {node.name}, as root: {finding.repair}", data)
    for diagnosis in diagnoses if args.boot else ():
        if not diagnosis.is_off:
            yield Text(f"would boot a guest on {diagnosis.node.name}, and destroy it")


def _diagnose(cloud: "Cloud", context: Context, args: argparse.Namespace) -> "list[Diagnosis]":
    # Completion needs only the arguments; these imports take 50 ms.
    from mclu_shell.cloud.doctor.doctor import diagnose

    nodes = cloud.match(args.nodes) if args.nodes else list(cloud.nodes)
    # A wildcard names no node.
    named = [node for node in nodes if node.name in args.nodes]
    context.notify(f"examining {', '.join(node.name for node in nodes[:5])}{' …' if len(nodes) > 5 else ''}")
    diagnoses = diagnose(cloud, nodes, named)
    context.notify("")
    return diagnoses


def _report(diagnoses: "Sequence[Diagnosis]") -> Iterator[Result]:
    for diagnosis in diagnoses:
        yield _entry(diagnosis)
    faulty = [diagnosis.node.name for diagnosis in diagnoses if _count(diagnosis, "fault")]
    if faulty:
        count = sum(_count(diagnosis, "fault") for diagnosis in diagnoses)
        yield Unhealthy(f"{_plural(count, 'fault')} on {', '.join(faulty)}")


def _count(diagnosis: "Diagnosis", verdict: str) -> int:
    return sum(finding.verdict == verdict for finding in diagnosis.findings)


def _entry(diagnosis: "Diagnosis") -> Entry:
    """Return the entry of a node: its faults and warnings, then the names of the other checks."""
    findings = diagnosis.findings
    bad = [finding for finding in findings if finding.verdict in ("fault", "warning")]
    bad.sort(key=lambda finding: finding.verdict)
    details = [f"{finding.verdict}: {finding.check}: {finding.fact}; {finding.remedy}" for finding in bad]
    passed = [finding.check for finding in findings if finding.verdict == "ok"]
    details += [f"ok: {', '.join(passed)}"] if passed and not diagnosis.is_off else []
    skipped: dict[str, list[str]] = {}
    for finding in findings:
        if finding.verdict == "not checked":
            skipped.setdefault(finding.fact, []).append(finding.check)
    details += [f"not checked: {', '.join(checks)} ({reason})" for reason, checks in skipped.items()]
    return Entry(diagnosis.node.name, *_state(diagnosis, details), data=partial(_examined, diagnosis))


def _state(diagnosis: "Diagnosis", details: Sequence[str]) -> tuple[str, tuple[str, ...], str]:
    faults, warnings = _count(diagnosis, "fault"), _count(diagnosis, "warning")
    counts = [_plural(count, noun) for count, noun in ((faults, "fault"), (warnings, "warning")) if count]
    power = ["off"] if diagnosis.is_off else []
    state = ", ".join((*power, *counts)) or "healthy"
    tone = "bad" if faults else "plain" if warnings else "quiet" if diagnosis.is_off else "good"
    return state, tuple(details), tone


def _plural(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _examined(diagnosis: "Diagnosis") -> "Record":
    # Only -o json needs the records.
    from mclu_shell.output.schema.checks import examined_record

    return examined_record(diagnosis.node.name, diagnosis.findings, is_off=diagnosis.is_off)


def _repairable(diagnoses: "Sequence[Diagnosis]") -> "list[tuple[Node, Finding]]":
    return [(diagnosis.node, finding) for diagnosis in diagnoses for finding in diagnosis.findings if finding.repair]


def _repair(
    context: Context, diagnoses: "Sequence[Diagnosis]", args: argparse.Namespace
) -> "Generator[Result, None, bool]":
    """Run the repairs that the user confirms; return whether there were any."""
    from mclu_shell.cloud.doctor.doctor import repair

    is_changed = False
    for node, finding in _repairable(diagnoses):
        question = (
            f"{node.name}: {finding.check}: {finding.fact}\n  {finding.repair}\nRun this on {node.name}, as root?"
        )
        if not args.yes and not (context.confirm and context.confirm(printable(question, "\n"))):
            yield Text("", data=partial(_repaired, node, finding, "declined"))
            continue
        is_changed = True
        try:
            repair(node, finding)
        except MCluError as error:
            yield error
            yield Text("", data=partial(_repaired, node, finding, "failed"))
        else:
            yield Text(f"{node.name}: ran {finding.repair}", data=partial(_repaired, node, finding, "done"))
    return is_changed


def _repaired(node: "Node", finding: "Finding", result: str) -> "Record":
    from mclu_shell.output.schema.checks import Repair

    return Repair(node.name, finding.check, finding.repair, result)


def _try_boots(context: Context, diagnoses: "Sequence[Diagnosis]") -> "Iterator[Diagnosis]":
    """Add the finding of a trial to the nodes on which libvirt answers."""
    from mclu_shell.cloud.doctor.trial import try_boot

    for diagnosis in diagnoses:
        if any(finding.check == "libvirt" and finding.verdict == "ok" for finding in diagnosis.findings):
            finding = try_boot(context.cloud, diagnosis.node, context.notify)
            yield diagnosis._replace(findings=(*diagnosis.findings, finding))
        else:
            yield diagnosis
    context.notify("")
