"""The columns of nodes in `status`."""

import time
from collections.abc import Callable
from typing import NamedTuple

from mclu_shell.cloud.state.guest import NodeReport
from mclu_shell.output.tables.column import Column, Columns
from mclu_shell.units import format_age, format_size


class ListedNode(NamedTuple):
    """A node with its power, the fault that keeps it from answering, and its resources, if known.

    `seen_at` (of `time.time`) is the time of cached resources.
    """

    name: str
    power: str
    tone: str
    fault: str | None = None
    report: NodeReport | None = None
    seen_at: float | None = None

    @property
    def state(self) -> str:
        """The power and the fault in a few words."""
        return ", ".join(filter(None, (self.power, self.fault)))

    @property
    def age(self) -> str:
        """The age of cached resources; empty if the node has just answered."""
        if self.report is None or self.seen_at is None:
            return ""
        return f"{format_age(time.time() - self.seen_at)} ago"


def _number(name: str, value: Callable[[NodeReport], int], text: Callable[[int], str] = str) -> Column[ListedNode]:
    """Return a column of numbers; a node without a report comes after all others."""

    def key(item: ListedNode) -> int:
        return -1 if item.report is None else value(item.report)

    return Column(name, lambda item: text(key(item)) if item.report else "", key, is_number=True)


NODE_COLUMNS: Columns[ListedNode] = (
    Column("node", lambda item: item.name),
    Column("state", lambda item: item.state, tone=lambda item: item.tone),
    _number("pcpus", lambda report: report.info.pcpus),
    _number("memory", lambda report: report.info.memory_bytes, format_size),
    _number("guests", lambda report: len(report.running)),
    _number("vcpus", lambda report: report.used_vcpus),
    _number("used", lambda report: report.used_bytes, format_size),
    _number("free", lambda report: report.free_bytes, format_size),
    Column("seen", lambda item: item.age, is_optional=True),
)
