"""The JSON encoding of guests and nodes, for the disk cache and for other processes."""

from typing import Any

from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport


def guests_from_json(values: list[list[Any]]) -> tuple[Guest, ...]:
    """Decode guests; raise KeyError, TypeError or ValueError if the values are invalid."""
    if not all(isinstance(guest, list) for guest in values):
        raise TypeError("not a list of guests")
    # For 10,000 guests this takes two thirds of the time of `*values, addresses`.
    return tuple([Guest(a, b, c, d, e, f, tuple(addresses), h) for a, b, c, d, e, f, addresses, h in values])


def report_as_json(report: NodeReport) -> dict[str, Any]:
    """Encode a node's resources and guests."""
    return {"info": report.info._asdict(), "guests": report.guests}


def report_from_json(values: dict[str, Any]) -> NodeReport:
    """Decode a node's resources and guests; raise the same errors as `guests_from_json`."""
    return NodeReport(NodeInfo(**values["info"]), guests_from_json(values["guests"]))
