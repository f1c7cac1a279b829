"""Building a guest's disk on its node, in such a way that the node itself cleans up if we are gone.

One shell script runs on the node for the whole of a boot. It copies the template out of its standard input, holds
the claim to the name, builds, and waits for the word to keep what was made. If its input ends before that word
(the user interrupts, the link is lost, this program is killed), it ends the build and removes all of it.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.boot.build_fault import template_fault
from mclu_shell.cloud.boot.build_script import BUILD, LOOK
from mclu_shell.cloud.boot.environment import env_command
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.nodes.memory import Reservation, parse_reservation
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.transport.process import Process
from mclu_shell.errors import ConnectionLost, Interrupted, MCluError, NodeFault, Refused

_TAIL_LINES = 8
# What a build has to tell its user for good, such as a password that it has made up.
_NOTE = "note: "
_MOST_NOTES = 20
_LONGEST_SHOWN = 500
_CLEAN_UP_S = 15.0


class Built(NamedTuple):
    """What a build made on a node: the disk and the files beside it; and what it noted for the user.

    `is_logged` says whether the guest's log can be where it should.
    """

    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    is_logged: bool = False
    # Of other boots there, at the end of the build.
    reservations: tuple[Reservation, ...] = ()


class Build:
    """A build that has ended well and waits for the word to keep it."""

    def __init__(self, node: Node, process: Process, word: str, made: Built) -> None:
        self._node = node
        self._process = process
        self._word = word
        self.made = made

    def announce_definition(self) -> None:
        """Tell the node that libvirt may define the guest from now on, so that its disk must not be deleted first."""
        self._process.send(b"defining\n")

    def confirm_undefined(self) -> None:
        """Tell the node that libvirt has no such guest, and will not define it later."""
        with suppress(OSError, MCluError):
            self._process.send(b"undefined\n")

    def keep(self) -> None:
        """Let what was made stay; NodeFault if the node has given it up meanwhile."""
        self._process.send(b"keep\n")
        if f"{self._word} kept" not in self._process.lines():
            raise ConnectionLost("the connection was lost before the disk could be kept", place=self._node.name)


@contextmanager
def building(
    node: Node,
    template: Path,
    guest: DomainSpec,
    environment: Mapping[str, str],
    admit: Callable[[Sequence[Reservation]], None],
    progress: Callable[[str], None],
    expected_format: str = "",
) -> Iterator[Build]:
    """Build on a node the disk of a new guest, and reserve its memory until the end of the block.

    `admit` is called with the reservations that were there before this one. It raises if there is no room beside them;
    then nothing is built. On leaving without `keep`, all that was made there is removed; also if we are killed, and
    then with the guest. NodeFault or Refused says at which step it failed, with the last lines of the build;
    Interrupted, whether the node has said that it removed everything.
    """
    script = template.read_bytes()
    word = f"@{secrets.token_hex(8)}"
    argv = [*env_command(environment), "sh", "-c", BUILD, "mclu-build", word, guest.output, _interpreter(script)]
    argv += [str(len(script)), guest.uuid, node.config.uri, guest.serial_log, expected_format, str(guest.memory_bytes)]
    process = node.start(argv)
    with _cleaned_up(node, process, guest, progress):
        process.send(script)
        _claim(node, process, word, guest, admit)
        yield Build(node, process, word, _follow(node, process, word, guest, progress))


def look_at_build(node: Node, template: Path, guest: DomainSpec, gone: Iterable[str]) -> None:
    """Raise what would speak against a build on a node, as far as that is known before it; nothing is touched.

    Files that would be `gone` by then do not.
    """
    word = f"@{secrets.token_hex(8)}"
    script = template.read_bytes()
    argv = ["sh", "-c", LOOK, "mclu-build", word, guest.output, _interpreter(script), *gone]
    for line in node.run_read_only(argv).out.splitlines():
        said, _, rest = line.removeprefix(f"{word} ").partition(" ")
        if line.startswith(f"{word} ") and said != "ready":
            raise _fault(node, said, rest, ())


def _interpreter(script: bytes) -> str:
    """The program that a script is written for (execve(2)), or that env(1) looks for; empty where there is no word."""
    first = script.split(b"\n", 1)[0].decode(errors="replace")
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    is_env = len(words) > 1 and words[0].endswith("/env") and words[1][0].isalnum() and "=" not in words[1]
    return words[is_env] if words else ""


@contextmanager
def _cleaned_up(node: Node, process: Process, guest: DomainSpec, progress: Callable[[str], None]) -> Iterator[None]:
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
            status = process.wait(_CLEAN_UP_S) if node.check_alive() else -1
    except KeyboardInterrupt as error:
        raise _interrupted(node, guest, is_clean=status >= 0) from error
    finally:
        process.close()


def _interrupted(node: Node, guest: DomainSpec, *, is_clean: bool) -> Interrupted:
    if is_clean:
        return Interrupted("interrupted, and what was made there is removed", place=node.name)
    told = "interrupted, and it has not said that it cleaned up"
    return Interrupted(told, place=node.name, remedy=_what_may_be_left(guest))


def _what_may_be_left(guest: DomainSpec) -> str:
    """Of a node that says nothing any more nobody knows whether it lost the connection, or its power."""
    return f"if it still runs, it removes what was made; if its power went, {guest.output} may be left there"


def _claim(
    node: Node, process: Process, word: str, guest: DomainSpec, admit: Callable[[Sequence[Reservation]], None]
) -> None:
    """Wait until the node holds the claim to the name and the memory; begin the build if it is admitted."""
    before: list[Reservation] = []
    for line in process.lines():
        said, _, rest = line.removeprefix(f"{word} ").partition(" ")
        if not line.startswith(f"{word} "):
            continue
        if said == "claimed":
            admit(before)
            process.send(b"build\n")
            return
        if said != "reserved":
            raise _fault(node, said, rest, ())
        before += filter(None, [parse_reservation(rest)])
    raise ConnectionLost("the connection was lost before the build", place=node.name, remedy=_what_may_be_left(guest))


def _follow(node: Node, process: Process, word: str, guest: DomainSpec, progress: Callable[[str], None]) -> Built:
    """Read a build's output until it is ready; what it made and noted."""
    files: list[str] = []
    notes: list[str] = []
    reservations: list[Reservation] = []
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
        elif said == "still":
            reservations += filter(None, [parse_reservation(rest)])
        elif said == "ready":
            return Built(tuple(files), _some(notes), is_logged, tuple(reservations))
        elif said != "started":
            raise template_fault(guest, said, rest, tail) or _fault(node, said, rest, tail)
    raise ConnectionLost("the connection was lost during the build", place=node.name, remedy=_what_may_be_left(guest))


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


def _fault(node: Node, said: str, rest: str, tail: Iterable[str]) -> NodeFault | Refused:
    """The error for the word with which the script has ended."""
    match said:
        case "fault":
            return Refused(f"nothing was built: {rest}", place=node.name)
        case "unfit":
            told = f"the build made {rest}, which is no file, and all that it made was removed"
            remedy = "what a guest does not need goes into the directory that the build is started in"
            return NodeFault(told, place=node.name, remedy=remedy)
        case _:
            shown = tuple(tail)
            told = f"the build failed with exit status {rest}, and what it made was removed"
            return NodeFault("\n  ".join([told + (". It said last:" if shown else ""), *shown]), place=node.name)
