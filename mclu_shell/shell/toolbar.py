"""The line below the prompt: pure, from the snapshot."""

from collections.abc import Collection, Iterator

from mclu_shell.cloud.state.snapshot import NodeView, Phase, Snapshot

# As many nodes that are in trouble are named, with the reason; of more only the number is told.
_NAMED = 2


def toolbar_text(snapshot: Snapshot, width: int, waking: Collection[str] = ()) -> str:
    """How the nodes stand, how many guests run, and what is wrong, as far as it fits; `waking` are names of nodes."""
    line = "  ".join(_counts(snapshot, waking))
    troubled = [node for node in snapshot.nodes if node.state.phase in (Phase.FAULTY, Phase.LOST)]
    for told in _troubles(troubled):
        if len(whole := f"{line}  {told}") <= width:
            return whole
    return line


def _counts(snapshot: Snapshot, waking: Collection[str]) -> Iterator[str]:
    def named(*phases: Phase) -> list[str]:
        return [node.name for node in snapshot.nodes if node.state.phase in phases]

    off = named(Phase.OFF)
    expected = sum(name in waking for name in off)
    yield f"{len(named(Phase.ON))} on"
    if len(off) > expected:
        yield f"{len(off) - expected} off"
    if expected:
        yield f"{expected} waking"
    if connecting := len(named(Phase.UNSEEN, Phase.CONNECTING)):
        yield f"{connecting} connecting"
    yield _guests([node for node in snapshot.nodes if node.state.phase == Phase.ON])


def _troubles(nodes: list[NodeView]) -> Iterator[str]:
    """What is wrong with nodes, in fewer and fewer words."""
    if 0 < len(nodes) <= _NAMED:
        yield "  ".join(f"{node.name}: {node.state.why}" for node in nodes)
    for count in range(min(len(nodes), _NAMED), 0, -1):
        names = [node.name for node in nodes[:count]] + ["…"] * (count < len(nodes))
        yield f"{len(nodes)} failing: {', '.join(names)}"


def _guests(nodes: list[NodeView]) -> str:
    running = sum(guest.is_active for node in nodes for guest in node.guests)
    return f"{running} {'guest' if running == 1 else 'guests'} running"
