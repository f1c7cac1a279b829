"""The text of the line below the prompt, computed from the snapshot."""

from collections.abc import Collection, Iterator

from mclu_shell.cloud.state.snapshot import NodeView, Phase, Snapshot

# Up to this number, failing nodes are shown by name.
_MOST_NAMES = 2
# A longer reason is cut, but not to fewer characters.
_LEAST_REASON = 24


def toolbar_text(snapshot: Snapshot, width: int, waking: Collection[str] = ()) -> str:
    """Return counts of nodes by state and of running guests, and the errors that fit; `waking` are names of nodes."""
    line = "  ".join(_counts(snapshot, waking))
    failing = [node for node in snapshot.nodes if node.state.phase in (Phase.FAULTY, Phase.LOST)]
    for errors in _errors(failing, width - len(line) - len("  ")):
        if len(text := f"{line}  {errors}") <= width:
            return text
    return line


def _counts(snapshot: Snapshot, waking: Collection[str]) -> Iterator[str]:
    def names(*phases: Phase) -> list[str]:
        return [node.name for node in snapshot.nodes if node.state.phase in phases]

    off = names(Phase.OFF)
    woken = sum(name in waking for name in off)
    yield f"{len(names(Phase.ON))} on"
    if len(off) > woken:
        yield f"{len(off) - woken} off"
    if woken:
        yield f"{woken} waking"
    if connecting := len(names(Phase.UNSEEN, Phase.CONNECTING)):
        yield f"{connecting} connecting"
    yield _guests([node for node in snapshot.nodes if node.state.phase == Phase.ON])


def _errors(nodes: list[NodeView], width: int) -> Iterator[str]:
    """Yield the errors of nodes, in shorter and shorter forms."""
    if 0 < len(nodes) <= _MOST_NAMES:
        yield "  ".join(f"{node.name}: {node.state.why}" for node in nodes)
    if len(nodes) == 1 and width >= len(nodes[0].name) + _LEAST_REASON:
        yield f"{nodes[0].name}: {nodes[0].state.why}"[: width - 1] + "…"
    for count in range(min(len(nodes), _MOST_NAMES), 0, -1):
        names = [node.name for node in nodes[:count]] + ["…"] * (count < len(nodes))
        yield f"{len(nodes)} failing: {', '.join(names)}"


def _guests(nodes: list[NodeView]) -> str:
    running = sum(guest.is_active for node in nodes for guest in node.guests)
    return f"{running} {'guest' if running == 1 else 'guests'} running"
