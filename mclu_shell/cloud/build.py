"""Building a guest's disk on its node, in such a way that the node itself cleans up if we are gone.

One shell script runs on the node for the whole of a boot. It holds the claim to the name, copies the template
out of its standard input, builds, and waits for the word to keep what was made. If its input ends before that
word (the user interrupts, the link is lost, this program is killed), it ends the build and removes all of it.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mclu_shell.cloud.domainxml import GuestSpec
from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.process import Process
from mclu_shell.errors import LinkLost, NodeFault, Refused

# The variables of its own must have none of the names that a build is told in its environment, such as `size`.
# What the script says besides the build's output begins with a word that no build can know.
# flock needs a file; `-ef` tells whether the file that is locked is still the one of that name, because the
# one who held it before removes it on leaving. Background jobs of sh get no input unless it is handed to them.
# A plain `exec` that cannot open its file would end sh at once, without a word.
_SCRIPT = r"""
set -u
umask 077
word=$1 output=$2 length=$3 uuid=$4 uri=$5 guests=$6
# When the connection goes, sshd sends a hang-up, and nobody reads what is said: neither may end the cleaning up.
trap : HUP PIPE
say() { printf '%s %s\n' "$word" "$*"; }
command exec 8>>"$output.claim" || { say fault "cannot write to ${output%/*}"; exit 1; }
flock -n 8 && [ "$output.claim" -ef /proc/self/fd/8 ] || {
    say fault "somebody else is booting a guest of this name"
    exit 1
}
# Of boots during which the node lost its power something is left, and nobody holds a claim to it any more. A guest
# that was defined all the same is for its user to judge.
sweep() {
    find "$1" -maxdepth 1 -mmin +1 -name '.mclu-*.booting' | while read -r file; do
        ( flock -n 9 && rm -f -- "$file" ) 9<"$file"
    done
    find "$1" -maxdepth 1 -mmin +1 -name '*.qcow2.unfinished' | while read -r mark; do
        disk=${mark%.unfinished} name=${mark##*/}
        case $guests in */"${name%.qcow2.unfinished}"/*) continue ;; esac
        [ "$(cat "$mark")" != mclu ] || ( flock -n 9 && rm -f -- "$disk" "$disk".* ) 9>>"$disk.claim"
    done
}
build= work=
# What the build has started and not waited for must not go on writing to what is removed.
discard() {
    [ -z "$build" ] || kill -KILL -$build 2>/dev/null
    rm -f -- "$output" "$output".* 2>/dev/null
    rm -f -- "$output.claim"
}
# A signal ends `wait` before its time.
await() { while :; do wait "$1"; status=$?; kill -0 "$1" 2>/dev/null || return 0; done; }
leave() { if [ -n "$work" ]; then rm -rf -- "$work"; fi; rm -f -- "$output.claim"; }
trap leave EXIT
sweep "${output%/*}" 2>/dev/null
for file in "$output" "$output".*; do
    case $file in *.claim | *.unfinished) continue ;; esac
    [ -e "$file" ] || [ -L "$file" ] || continue
    # Without the mark of an unfinished boot it is not ours, and what is not ours is never written to or removed.
    [ -e "$output.unfinished" ] || { say fault "$file is there already"; exit 1; }
    # The node lost its power during that boot.
    rm -f -- "$file"
done
echo mclu >"$output.unfinished" || { say fault "cannot write to ${output%/*}"; exit 1; }
work=$(mktemp -d) || { say fault "no temporary directory"; discard; exit 1; }
head -c "$length" >"$work/template"
# Half a template must not be run: its sender may be gone, or the disk full.
[ "$(stat -c %s "$work/template")" = "$length" ] || { say fault "the template did not arrive"; discard; exit 1; }
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
await $build
if [ $status -ne 0 ]; then
    kill $reader 2>/dev/null
    discard
    say failed $status
    exit 1
fi
for file in "$output" "$output".*; do
    case $file in *.claim | *.unfinished) ;; *) [ ! -e "$file" ] || say file "$file" ;; esac
done
say ready
await $reader
if [ "$(cat "$work/answer" 2>/dev/null)" != keep ]; then
    discard
    # Whoever was killed in the moment after defining the guest cannot take that back any more.
    [ -z "$uri" ] || timeout 10 virsh -q -c "$uri" undefine --nvram "$uuid" >/dev/null 2>&1
    exit 1
fi
rm -f -- "$output.unfinished"
say kept
"""

_TAIL_LINES = 8
_CLEAN_UP_S = 15.0


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made on a node: the disk and what stands beside it."""

    output: str
    files: tuple[str, ...]


class Build:
    """A build that has ended well and waits for the word to keep it."""

    def __init__(self, process: Process, word: str, made: Built) -> None:
        self._process = process
        self._word = word
        self.made = made

    def keep(self) -> None:
        """Let what was made stay; NodeFault if the node has given it up meanwhile."""
        self._process.send(b"keep\n")
        if f"{self._word} kept" not in self._process.lines():
            raise LinkLost("the connection was lost before the disk could be kept")


@contextmanager
def building(
    node: Node,
    template: Path,
    guest: GuestSpec,
    guests: Sequence[Guest],
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> Iterator[Build]:
    """Build on a node the disk of a new guest; `guests` are those that are there already.

    On leaving without `keep`, all that was made there is removed; also if we are killed, and then with the guest.
    NodeFault or Refused says at which step it failed, with the last lines of the build.
    """
    script = template.read_bytes()
    word = f"@{secrets.token_hex(8)}"
    argv = ["env", *(f"{key}={value}" for key, value in environment.items())]
    argv += ["sh", "-c", _SCRIPT, "mclu-build", word, guest.output, str(len(script)), guest.uuid, node.config.uri]
    argv += ["/".join(["", *(other.name for other in guests), ""])]
    process = node.start(argv)
    try:
        process.send(script)
        yield Build(process, word, Built(guest.output, _follow(node, process, word, progress)))
    finally:
        # The end of its input is the order to clean up, or, after `keep`, nothing. It is given time to obey.
        process.end_input()
        process.wait(_CLEAN_UP_S)
        process.close()


def _follow(node: Node, process: Process, word: str, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Read a build's output until it is ready; the files that it made."""
    files: list[str] = []
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    for line in process.lines():
        if not line.startswith(f"{word} "):
            tail.append(line)
            progress(line)
            continue
        said, _, rest = line.removeprefix(f"{word} ").partition(" ")
        match said:
            case "file":
                files.append(rest)
            case "ready":
                return tuple(files)
            case "fault":
                raise Refused(f"nothing was built: {rest}", place=node.name)
            case "failed":
                raise NodeFault(_failure(rest, tail), place=node.name)
    raise LinkLost("the connection was lost during the build", place=node.name)


def _failure(status: str, tail: deque[str]) -> str:
    lines = [line for line in tail if line.strip()]
    told = f"the build failed with exit status {status}, and what it made was removed"
    return "\n  ".join([told + (". It said last:" if lines else ""), *lines])
