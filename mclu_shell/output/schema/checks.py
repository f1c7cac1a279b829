"""Records of `doctor`: its checks and repairs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mclu_shell.cloud.doctor.finding import Finding


@dataclass(frozen=True, slots=True)
class Check(Record):
    """The result of one check of a node."""

    check: Annotated[str, "name of the check, such as `kvm`"]
    verdict: Annotated[str, "`ok`, `warning`, `fault` or `not checked`"]
    fact: Annotated[str, "result in words, which may change"]
    remedy: Annotated[str | None, "remedy of a warning or fault, in words"]
    repair: Annotated[str | None, "command that `--fix` runs on the node; null if it cannot remove the fault"]


@dataclass(frozen=True, slots=True)
class Examined(Record):
    """A node with all its checks; only the configuration of a node that is off is checked."""

    PLURAL: ClassVar = "examined"

    node: Annotated[str, "name of the node"]
    is_off: Annotated[bool, "true if the node is off"]
    checks: Annotated[tuple[Check, ...], "all checks, in the order of their causes"]


@dataclass(frozen=True, slots=True)
class Repair(Record):
    """A repair by `--fix`."""

    PLURAL: ClassVar = "repairs"

    node: Annotated[str, "name of the node"]
    check: Annotated[str, "check that found the fault"]
    command: Annotated[str, "command, run as root on the node"]
    result: Annotated[str, "`done`, `failed`, `declined`, or `planned` in a dry run"]


def examined_record(node: str, findings: "Sequence[Finding]", *, is_off: bool) -> Examined:
    """Return the record of a node's findings."""
    checks = [
        Check(one.check, one.verdict.value, one.fact, remedy=one.remedy or None, repair=one.repair or None)
        for one in findings
    ]
    return Examined(node, is_off, tuple(checks))
