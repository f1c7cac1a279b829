"""The JSON encoding of guests and nodes, for the disk cache and for other processes."""

import math
import time
from typing import Any

from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase
from mclu_shell.parsing.limits import InvalidData

# Of ten thousand guests on each of ten nodes, and more.
MOST_CACHED_CHARACTERS = 64 << 20
_GUEST_TYPES = (str, str, str, str, int, int, list, str)


def guests_from_json(values: Any) -> tuple[Guest, ...]:
    """Decode guests; raise InvalidData if the values are invalid."""
    try:
        # For 10,000 guests this takes two thirds of the time of `*values, addresses`.
        guests = tuple([Guest(a, b, c, d, e, f, tuple(addresses), h) for a, b, c, d, e, f, addresses, h in values])
        columns = list(zip(*values, strict=True)) or [()] * len(_GUEST_TYPES)
    except (TypeError, ValueError) as error:
        raise InvalidData(f"not a list of guests ({error})") from None
    # By columns it takes a tenth of the time of a check of each value.
    is_valid = all({*map(type, column)} <= {kind} for kind, column in zip(_GUEST_TYPES, columns, strict=True))
    if not is_valid or not all(isinstance(address, str) for guest in guests for address in guest.addresses):
        raise InvalidData("not a list of guests")
    return guests


def report_as_json(report: NodeReport) -> dict[str, Any]:
    """Encode a node's resources and guests."""
    return {"info": report.info._asdict(), "guests": report.guests}


def report_from_json(values: Any) -> NodeReport:
    """Decode a node's resources and guests; raise InvalidData if the values are invalid."""
    return NodeReport(_info(_member(values, "info")), guests_from_json(_member(values, "guests")))


def view_from_json(values: Any) -> NodeView:
    """Decode a cached view of a node, without its state; raise InvalidData if the values are invalid."""
    name, seen_at, info = (_member(values, key) for key in ("name", "seen_at", "info"))
    if not isinstance(name, str) or not isinstance(seen_at, float) or not math.isfinite(seen_at):
        raise InvalidData("not a view of a node")
    state = NodeState(Phase.UNSEEN, time.monotonic())
    guests = guests_from_json(_member(values, "guests"))
    return NodeView(name, state, guests, None if info is None else _info(info), seen_at)


def _info(values: Any) -> NodeInfo:
    try:
        info = NodeInfo(**values)
    except TypeError as error:
        raise InvalidData(f"not the resources of a node ({error})") from None
    if not all(type(value) is int for value in info):
        raise InvalidData("not the resources of a node")
    return info


def _member(values: Any, key: str) -> Any:
    if not isinstance(values, dict) or key not in values:
        raise InvalidData(f"no {key}")
    return values[key]
