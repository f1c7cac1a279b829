"""Findings: the verdicts of checks, with facts and remedies."""

import shlex
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """A verdict: a warning is a restriction or a risk, a fault prevents what mclu is for or is configured to do."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNCHECKED = "not checked"


class Finding(NamedTuple):
    """The result of a check. `repair` is a harmless command for root on the node, which is the remedy."""

    verdict: Verdict
    fact: str
    remedy: str = ""
    repair: str = ""
    # The name of the check; the table of checks sets it.
    check: str = ""


def ok(fact: str) -> Finding:
    """Return the finding of a check that has passed."""
    return Finding(Verdict.OK, fact)


def unchecked(reason: str) -> Finding:
    """Return the finding of a check that was not made."""
    return Finding(Verdict.UNCHECKED, reason)


def fault(fact: str, remedy: str, *, is_warning: bool = False) -> Finding:
    """Return a fault, or a warning, that only the user can remove."""
    return Finding(Verdict.WARNING if is_warning else Verdict.FAULT, fact, remedy)


def fault_for_root(fact: str, command: str, *, is_warning: bool = False) -> Finding:
    """Return a fault, or a warning, whose remedy is a command that the user has to decide about."""
    return fault(fact, on_node(command), is_warning=is_warning)


def repairable(fact: str, command: str, *, is_warning: bool = False) -> Finding:
    """Return a fault, or a warning, that a harmless command removes."""
    return fault_for_root(fact, command, is_warning=is_warning)._replace(repair=command)


def on_node(command: str) -> str:
    """Return a command as a remedy."""
    return f"on the node, as root: {command}"


def and_then(*commands: list[str]) -> str:
    """Return a command line of several commands, each of which needs the one before it."""
    return " && ".join(map(shlex.join, commands))
