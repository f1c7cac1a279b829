"""One boot of a name at a time, in the whole cloud: held on a node that answers, as long as we live."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.transport.process import Process
from mclu_shell.errors import ConnectionLost, Refused

# The lock goes with the file that is locked: whoever held it before removes that file, hence `-ef`. It is held
# until standard input ends, which it also does when this program or its connection is gone. A plain `exec` that
# cannot open its file would end sh at once, without a word. One stream, or words of two would be mixed in a line.
# Whether somebody holds a file that they have open as 8, without trying to lock it: that could refuse it to them.
# In a container, /proc/locks does not tell of a lock whose flock(1) has ended.
IS_HELD = r"""
is_held() {
    for fd in /proc/[0-9]*/fd/8; do [ ! "$fd" -ef "$1" ] || return 0; done
    return 1
}
"""
_SCRIPT = r"""
exec 2>&1
trap : HUP PIPE
command -v flock >/dev/null || { echo lacking; exit 1; }
command exec 8>>"$1" || { echo fault; exit 1; }
flock -n 8 && [ "$1" -ef /proc/self/fd/8 ] || { echo taken; exit 1; }
trap 'rm -f -- "$1"' EXIT
echo held
cat >/dev/null
"""
# Only looks whether the name could be held.
_LOOK_SCRIPT = (
    IS_HELD
    + r"""
command -v flock >/dev/null || { echo lacking; exit 1; }
[ -w "${1%/*}" ] || { echo fault; exit 1; }
! is_held "$1" || { echo taken; exit 1; }
echo held
"""
)
_WORDS = ("held", "taken", "fault", "lacking")
_RELEASE_S = 5.0
# How long a new guest of the same name may take to be started or taken back, and how often it is looked at.
_GIVE_WAY_S = 10.0
_POLL_S = 0.1


@contextmanager
def holding_name(name: str, nodes: Sequence[Node]) -> Iterator[None]:
    """Hold a guest's name; Refused if somebody else is booting a guest of this name.

    It is held on the first of the nodes on which files can be made, by their names, because configurations of one
    cloud may list them in different orders.
    """
    process = _hold(name, sorted(nodes, key=lambda node: node.name))
    try:
        yield
    finally:
        _release(process)


def look_at_name(name: str, nodes: Sequence[Node]) -> None:
    """Raise what would speak against holding a guest's name now; nothing is touched."""

    def look(node: Node) -> str:
        return _word(node.run_read_only(["sh", "-c", _LOOK_SCRIPT, "mclu-name", _lock(name, node)]).out.splitlines())

    _require_held(name, sorted(nodes, key=lambda node: node.name), look)


def _hold(name: str, nodes: Sequence[Node]) -> Process:
    held: list[Process] = []

    def hold(node: Node) -> str:
        process = node.start(["sh", "-c", _SCRIPT, "mclu-name", _lock(name, node)])
        said = ""
        try:
            said = _word(process.lines())
        finally:
            if said == "held":
                held.append(process)
            else:
                _release(process)
        return said

    _require_held(name, nodes, hold)
    return held[0]


def _lock(name: str, node: Node) -> str:
    return f"{node.config.images}/.mclu-{name}.booting"


def _word(lines: Iterable[str]) -> str:
    """What a script says; a shell may greet first, which is of no interest."""
    return next((line for line in lines if line in _WORDS), "")


def _require_held(name: str, nodes: Sequence[Node], hold: Callable[[Node], str]) -> None:
    """Go through nodes until one says that the name is held; raise what speaks against it."""
    reasons = []
    for node in nodes:
        said = hold(node)
        if said == "held":
            return
        if said == "taken":
            raise Refused(f"somebody else is booting a guest called {name!r} at this moment")
        if not said:
            raise ConnectionLost("the connection was lost", place=node.name)
        reasons.append(_cannot_hold(node, said))
    raise reasons[0]


def _cannot_hold(node: Node, said: str) -> Refused:
    if said == "lacking":
        return Refused("there is no flock on this node", place=node.name, remedy="install util-linux there")
    return Refused(f"cannot write to {node.config.images}", place=node.name, remedy="images= in mclu.conf")


def _release(process: Process) -> None:
    process.end_input()
    process.wait(_RELEASE_S)
    process.close()


def settle_rivals(name: str, uuid: str, nodes: Sequence[Node]) -> None:
    """See that a guest that is defined and not yet started is the only one of its name; Refused if it must go.

    Where configurations call nodes differently, or not all see the same nodes, the name may be held on two of them.
    Of two guests at least one is seen, as each is defined before it is looked for others. The smaller UUID stays,
    but the other may not have seen it, and starts: so who stays waits until the other is gone, or goes if that runs.
    """
    deadline = time.monotonic() + _GIVE_WAY_S
    while rivals := _rivals(name, uuid, nodes):
        winner = stronger(uuid, rivals)
        if winner is None and time.monotonic() >= deadline:
            winner = rivals[0]
        if winner is not None:
            raise Refused(f"there is a guest {name!r} already, which somebody else has made", place=winner.node)
        time.sleep(_POLL_S)


def _rivals(name: str, uuid: str, nodes: Sequence[Node]) -> list[Guest]:
    """The guests of a name but for our own, on all nodes that answer."""
    outcomes = gather(nodes, lambda node: node.fetch_guests())
    there = [guest for outcome in outcomes for guest in outcome.value or ()]
    return [guest for guest in there if guest.name == name and guest.uuid != uuid]


def stronger(uuid: str, rivals: Sequence[Guest]) -> Guest | None:
    """The rival that a guest gives way to without waiting: one that runs, or one with a smaller UUID."""
    return next((rival for rival in rivals if rival.is_active or rival.uuid < uuid), None)
