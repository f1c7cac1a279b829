"""The line below the prompt: pure, from the snapshot."""

from collections.abc import Iterator

from mclu_shell.cloud.state import NodeView, Phase, Snapshot

# As many nodes that are in trouble are named, with the reason; of more only the number is told.
_NAMED = 2


def toolbar_text(snapshot: Snapshot) -> str:
    """How the nodes stand, and how many guests run."""
    return "  ".join(_parts(snapshot))


def _parts(snapshot: Snapshot) -> Iterator[str]:
    def count(*phases: Phase) -> int:
        return sum(node.state.phase in phases for node in snapshot.nodes)

    yield f"{count(Phase.ON)} on"
    if off := count(Phase.OFF):
        yield f"{off} off"
    if connecting := count(Phase.UNSEEN, Phase.CONNECTING):
        yield f"{connecting} connecting"
    troubled = [node for node in snapshot.nodes if node.state.phase in (Phase.FAULTY, Phase.LOST)]
    if len(troubled) > _NAMED:
        yield f"{len(troubled)} failing: {', '.join(node.name for node in troubled[:_NAMED])} …"
    else:
        yield from (f"{node.name}: {node.state.why}" for node in troubled)
    yield _guests([node for node in snapshot.nodes if node.state.phase == Phase.ON])


def _guests(nodes: list[NodeView]) -> str:
    running = sum(guest.is_active for node in nodes for guest in node.guests)
    return f"{running} {'guest' if running == 1 else 'guests'} running"
