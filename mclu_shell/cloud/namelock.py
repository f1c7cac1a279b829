"""One boot of a name at a time, in the whole cloud: held on the first node that answers, as long as we live."""

from collections.abc import Iterator
from contextlib import contextmanager

from mclu_shell.cloud.node import Node
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
def holding_name(name: str, node: Node) -> Iterator[None]:
    """Hold a guest's name on a node; Refused if somebody else is booting a guest of this name."""
    path = f"{node.config.images}/.mclu-{name}.booting"
    process = node.start(["sh", "-c", _SCRIPT, "mclu-name", path])
    try:
        # A shell may greet first; what it says before our word is of no interest.
        said = next((line for line in process.lines() if line in ("held", "taken", "fault")), "")
        if said == "taken":
            raise Refused(f"somebody else is booting a guest called {name!r} at this moment")
        if said == "fault":
            raise Refused(f"cannot write to {node.config.images}", place=node.name, remedy="images= in mclu.conf")
        if not said:
            raise LinkLost("the connection was lost", place=node.name)
        yield
    finally:
        process.end_input()
        process.wait(_RELEASE_S)
        process.close()
