"""Records of guests and nodes as JSON's values, and back: for what is kept on disk, and for other processes."""

from typing import Any

from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport


def guests_from_json(said: list[list[Any]]) -> tuple[Guest, ...]:
    """Guests again; KeyError, TypeError or ValueError where it is something else, as with all that is read here."""
    if not all(isinstance(guest, list) for guest in said):
        raise TypeError("no guests")
    # Ten thousand of them are read with a third less time than by `*values, addresses`.
    return tuple([Guest(a, b, c, d, e, f, tuple(addresses)) for a, b, c, d, e, f, addresses in said])


def report_as_json(report: NodeReport) -> dict[str, Any]:
    """A node's resources and guests."""
    return {"info": report.info._asdict(), "guests": report.guests}


def report_from_json(said: dict[str, Any]) -> NodeReport:
    """A node's resources and guests again."""
    return NodeReport(NodeInfo(**said["info"]), guests_from_json(said["guests"]))
