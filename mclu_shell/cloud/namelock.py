"""One boot of a name at a time, in the whole cloud: held on the first node that answers, as long as we live."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mclu_shell.cloud.node import Node
from mclu_shell.cloud.process import Process
from mclu_shell.errors import LinkLost, Refused

# The lock goes with the file that is locked: whoever held it before removes that file, hence `-ef`. It is held
# until standard input ends, which it also does when this program or its connection is gone. A plain `exec` that
# cannot open its file would end sh at once, without a word.
_SCRIPT = r"""
trap : HUP PIPE
command exec 8>>"$1" || { echo fault; exit 1; }
flock -n 8 && [ "$1" -ef /proc/self/fd/8 ] || { echo taken; exit 1; }
trap 'rm -f -- "$1"' EXIT
echo held
cat >/dev/null
"""
_RELEASE_S = 5.0


@contextmanager
def holding_name(name: str, nodes: Sequence[Node]) -> Iterator[None]:
    """Hold a guest's name; Refused if somebody else is booting a guest of this name.

    It is held on the first of the nodes on which files can be made: everybody comes to the same one.
    """
    process = _hold(name, nodes)
    try:
        yield
    finally:
        _release(process)


def _hold(name: str, nodes: Sequence[Node]) -> Process:
    for node in nodes:
        process = node.start(["sh", "-c", _SCRIPT, "mclu-name", f"{node.config.images}/.mclu-{name}.booting"])
        said = ""
        try:
            # A shell may greet first; what it says before our word is of no interest.
            said = next((line for line in process.lines() if line in ("held", "taken", "fault")), "")
        finally:
            if said != "held":
                _release(process)
        if said == "held":
            return process
        if said == "taken":
            raise Refused(f"somebody else is booting a guest called {name!r} at this moment")
        if not said:
            raise LinkLost("the connection was lost", place=node.name)
    first = nodes[0]
    raise Refused(f"cannot write to {first.config.images}", place=first.name, remedy="images= in mclu.conf")


def _release(process: Process) -> None:
    process.end_input()
    process.wait(_RELEASE_S)
    process.close()
