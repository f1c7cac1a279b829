"""Records of guests and nodes as JSON's values, and back: for what is kept on disk, and for other processes."""

from dataclasses import asdict
from typing import Any

from mclu_shell.cloud.guest import Guest, NodeInfo, NodeReport


def guests_as_json(guests: tuple[Guest, ...]) -> list[dict[str, Any]]:
    """Guests, in their order."""
    return [asdict(guest) for guest in guests]


def guests_from_json(said: list[dict[str, Any]]) -> tuple[Guest, ...]:
    """Guests again; KeyError, TypeError or ValueError where it is something else, as with all that is read here."""
    return tuple(Guest(**{**guest, "addresses": tuple(guest["addresses"])}) for guest in said)


def report_as_json(report: NodeReport) -> dict[str, Any]:
    """A node's resources and guests."""
    return {"info": asdict(report.info), "guests": guests_as_json(report.guests)}


def report_from_json(said: dict[str, Any]) -> NodeReport:
    """A node's resources and guests again."""
    return NodeReport(NodeInfo(**said["info"]), guests_from_json(said["guests"]))
