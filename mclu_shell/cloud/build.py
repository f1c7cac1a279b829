"""Building a guest's disk on its node, in such a way that the node itself cleans up if we are gone.

One shell script runs on the node for the whole of a boot. It copies the template out of its standard input, holds
the claim to the name, builds, and waits for the word to keep what was made. If its input ends before that word
(the user interrupts, the link is lost, this program is killed), it ends the build and removes all of it.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mclu_shell.cloud.domainxml import GuestSpec
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.process import Process
from mclu_shell.errors import Interrupted, LinkLost, NodeFault, Refused

# The variables of its own must have none of the names that a build is told in its environment, such as `size`.
# What the script says besides the build's output begins with a word that no build can know, and on a new line, as the
# build need not have ended its last one.
# flock needs a file; `-ef` tells whether the file that is locked is still the one of that name, because the
# one who held it before removes it on leaving. Background jobs of sh get no input unless it is handed to them.
# A plain `exec` that cannot open its file would end sh at once, without a word. All goes into one stream, because the
# words of two would be mixed within a line.
_SCRIPT = r"""
exec 2>&1
set -u
umask 077
word=$1 output=$2 length=$3 uuid=$4 uri=$5 log=$6
images=${output%/*} file=${output##*/}
claim=$images/.mclu-${file%.*}.building
# When the connection goes, sshd sends a hang-up, and nobody reads what is said: neither may end the cleaning up.
trap : HUP PIPE
say() { printf '\n%s %s\n' "$word" "$*"; }
refuse() { say fault "$*"; exit 1; }
build= work=
leave() { [ -z "$work" ] || rm -rf -- "$work"; }
trap leave EXIT
# The template is read first, and all of it, even where there is no room for it: of one that ends with its input
# unread, sshd may lose the last words. tee reads on when it cannot write.
work=$(mktemp -d) || work=
head -c "$length" | tee "${work:-/dev/null}/template" >/dev/null 2>&1
[ -n "$work" ] || refuse "no temporary directory can be made"
# Half a template must not be run: its sender may be gone, or the disk full.
[ "$(stat -c %s "$work/template")" = "$length" ] || refuse "the template did not arrive whole in $work"
for program in flock setsid; do
    command -v $program >/dev/null || refuse "there is no $program on this node: install util-linux"
done
command exec 8>>"$claim" || refuse "cannot write to $images"
flock -n 8 && [ "$claim" -ef /proc/self/fd/8 ] || refuse "somebody else is booting a guest of this name"
trap 'leave; rm -f -- "$claim"' EXIT
# Of boots during which the node lost its power something is left. Only what is called `.mclu-` and locked by nobody
# is removed: that a boot was cut off does not tell who has made the disk that is there by now, so a disk never is.
sweep() {
    find "$images" -maxdepth 1 -type f -mmin +1 \( -name '.mclu-*.booting' -o -name '.mclu-*.building' \) |
        while read -r file; do
            ( flock -n 9 && [ "$file" -ef /proc/self/fd/9 ] && rm -f -- "$file" ) 9<"$file"
        done
}
sweep 2>/dev/null
for file in "$output" "$output".*; do
    [ -e "$file" ] || [ -L "$file" ] || continue
    refuse "$file is there already; if no guest needs it (a boot that was cut off may have left it), remove it there"
done
# What the build has started and not waited for must not go on writing to what is removed. None of it was there before.
discard() {
    [ -z "$build" ] || kill -KILL -$build 2>/dev/null
    rm -rf -- "$output" "$output".* 2>/dev/null
}
# A signal ends `wait` before its time.
await() { while :; do wait "$1"; status=$?; kill -0 "$1" 2>/dev/null || return 0; done; }
chmod 700 "$work/template"
say started
exec 3<&0
cd "$work"
setsid "$work/template" build </dev/null 3<&- 8>&- &
build=$!
( exec 8>&-
  read -r answer <&3
  echo "$answer" >"$work/answer"
  [ "$answer" != keep ] || exit 0
  # If it has ended already, there is nothing to wait for.
  kill -TERM -$build 2>/dev/null || exit 0
  sleep 5 &
  trap 'kill $!; exit 0' TERM
  wait $!
  kill -KILL -$build 2>/dev/null ) &
reader=$!
give_up() { kill $reader 2>/dev/null; discard; say "$@"; exit 1; }
await $build
[ $status -eq 0 ] || give_up failed $status
for file in "$output" "$output".*; do
    # Only a file, or a link to wherever the disk is, can be deleted with the guest.
    if [ -f "$file" ] || [ -L "$file" ]; then say file "$file"; elif [ -e "$file" ]; then give_up unfit "$file"; fi
done
# libvirt makes the directory for its own logs, but only after it has needed it for this one.
if [ -n "$log" ]; then mkdir -p "${log%/*}" 2>/dev/null; [ ! -d "${log%/*}" ] || say logged; fi
say ready
await $reader
if [ "$(cat "$work/answer" 2>/dev/null)" != keep ]; then
    discard
    # Whoever was killed in the moment after defining the guest cannot take that back any more.
    [ -z "$uri" ] || timeout 10 virsh -q -c "$uri" undefine --nvram "$uuid" >/dev/null 2>&1
    exit 1
fi
say kept
"""

_TAIL_LINES = 8
# What a build has to tell its user for good, such as a password that it has made up.
_NOTE = "note: "
_MOST_NOTES = 20
_LONGEST_SHOWN = 500
_CLEAN_UP_S = 15.0


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made on a node: the disk and the files beside it; and what it noted for the user.

    `is_logged` says whether the guest's log can be where it should.
    """

    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    is_logged: bool = False


class Build:
    """A build that has ended well and waits for the word to keep it."""

    def __init__(self, node: Node, process: Process, word: str, made: Built) -> None:
        self._node = node
        self._process = process
        self._word = word
        self.made = made

    def keep(self) -> None:
        """Let what was made stay; NodeFault if the node has given it up meanwhile."""
        self._process.send(b"keep\n")
        if f"{self._word} kept" not in self._process.lines():
            raise LinkLost("the connection was lost before the disk could be kept", place=self._node.name)


@contextmanager
def building(
    node: Node,
    template: Path,
    guest: GuestSpec,
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> Iterator[Build]:
    """Build on a node the disk of a new guest.

    On leaving without `keep`, all that was made there is removed; also if we are killed, and then with the guest.
    NodeFault or Refused says at which step it failed, with the last lines of the build; Interrupted, whether the
    node has said that it removed everything.
    """
    script = template.read_bytes()
    word = f"@{secrets.token_hex(8)}"
    argv = ["env", *(f"{key}={value}" for key, value in environment.items())]
    argv += ["sh", "-c", _SCRIPT, "mclu-build", word, guest.output, str(len(script)), guest.uuid, node.config.uri]
    argv.append(guest.serial_log)
    process = node.start(argv)
    with _cleaned_up(node, process, guest, progress):
        process.send(script)
        yield Build(node, process, word, _follow(node, process, word, guest, progress))


@contextmanager
def _cleaned_up(node: Node, process: Process, guest: GuestSpec, progress: Callable[[str], None]) -> Iterator[None]:
    """Have the node clean up at the end of the block; Interrupted tells who has interrupted it what came of that."""
    status = -1
    try:
        try:
            yield
        except BaseException:
            progress(f"waiting for {node.name} to clean up")
            raise
        finally:
            # The end of its input is the order to clean up, or, after `keep`, nothing. It is given time to obey, if it
            # is there to hear.
            process.end_input()
            status = process.wait(_CLEAN_UP_S) if node.still_answers() else -1
    except KeyboardInterrupt as error:
        raise _interrupted(node, guest, is_clean=status >= 0) from error
    finally:
        process.close()


def _interrupted(node: Node, guest: GuestSpec, *, is_clean: bool) -> Interrupted:
    if is_clean:
        return Interrupted("interrupted, and what was made there is removed", place=node.name)
    told = "interrupted, and it has not said that it cleaned up"
    return Interrupted(told, place=node.name, remedy=_what_may_be_left(guest))


def _what_may_be_left(guest: GuestSpec) -> str:
    """Of a node that says nothing any more nobody knows whether it lost the connection, or its power."""
    return f"if it still runs, it removes what was made; if its power went, {guest.output} may be left there"


def _follow(node: Node, process: Process, word: str, guest: GuestSpec, progress: Callable[[str], None]) -> Built:
    """Read a build's output until it is ready; what it made and noted."""
    files: list[str] = []
    notes: list[str] = []
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    is_logged = False
    for line in process.lines():
        said, _, rest = line.removeprefix(f"{word} ").partition(" ")
        if not line.startswith(f"{word} "):
            _hear(line, tail, notes)
            progress(line)
        elif said == "file":
            files.append(rest)
        elif said == "logged":
            is_logged = True
        elif said == "ready":
            return Built(tuple(files), _some(notes), is_logged)
        elif said != "started":
            raise _fault(node, said, rest, tail)
    raise LinkLost("the connection was lost during the build", place=node.name, remedy=_what_may_be_left(guest))


def _some(notes: list[str]) -> tuple[str, ...]:
    dropped = len(notes) - _MOST_NOTES
    more = (f"({dropped} more notes)",) if dropped > 0 else ()
    return (*notes[:_MOST_NOTES], *more)


def _hear(line: str, tail: deque[str], notes: list[str]) -> None:
    """Remember a line of the build's own, so that it can do no harm to a terminal, nor fill it."""
    shown = "".join(char if char.isprintable() else " " for char in line[:_LONGEST_SHOWN]).rstrip()
    if shown:
        tail.append(shown)
    if shown.startswith(_NOTE):
        notes.append(shown.removeprefix(_NOTE))


def _fault(node: Node, said: str, rest: str, tail: deque[str]) -> NodeFault | Refused:
    """The error for the word with which the script has ended."""
    match said:
        case "fault":
            return Refused(f"nothing was built: {rest}", place=node.name)
        case "unfit":
            told = f"the build made {rest}, which is no file, and all that it made was removed"
            remedy = "what a guest does not need goes into the directory that the build is started in"
            return NodeFault(told, place=node.name, remedy=remedy)
        case _:
            told = f"the build failed with exit status {rest}, and what it made was removed"
            return NodeFault("\n  ".join([told + (". It said last:" if tail else ""), *tail]), place=node.name)
