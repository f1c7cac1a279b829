"""The build of a guest's disk on its node; the node itself cleans up if mclu is gone.

One shell script runs on the node for the whole boot. It reads the template from standard input, claims the name, runs
the build, and waits for the line `keep`. If its input ends before that line (the user interrupts, the connection is
lost, mclu is killed), it ends the build and removes all of its output.
"""

import re
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mclu_shell.cloud.boot.build_fault import template_fault
from mclu_shell.cloud.boot.build_script import BUILD, CHECK
from mclu_shell.cloud.boot.environment import env_command
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.nodes.memory import Reservation, parse_reservation
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.templates.script_file import read_script
from mclu_shell.cloud.transport.process import Process
from mclu_shell.errors import ConnectionLost, Interrupted, MCluError, NodeFault, Refused, TemplateError

_TAIL_LINES = 8
# A line of a build that its user needs later, such as a generated password, begins with this.
_NOTE = "note: "
_MOST_NOTES = 20
_LONGEST_SHOWN = 500
_CLEAN_UP_S = 15.0
# stat(1) prints "-" for an unknown time of birth. Without it, another file may get the inode later.
_IDENTITY = re.compile(r"(\d+ \S+ \S+ \S+) (/.*)")


class BuildOutput(NamedTuple):
    """The output of a build: the disk and the files beside it, and notes for the user.

    `identities` have the inode and time of birth of each file, if that is known.
    `has_log_directory` is true if libvirt can write the guest's console log where mclu expects it.
    """

    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    has_log_directory: bool = False
    # Of other boots on the node, at the end of the build.
    reservations: tuple[Reservation, ...] = ()
    identities: Mapping[str, str] = MappingProxyType({})


class Build:
    """A successful build, whose output the node removes unless it is kept."""

    def __init__(self, node: Node, process: Process, marker: str, output: BuildOutput) -> None:
        self._node = node
        self._process = process
        self._marker = marker
        self.output = output

    def announce_definition(self) -> None:
        """Tell the node that libvirt may define the guest from now on, so that its disk must not be deleted first."""
        self._process.send(b"defining\n")

    def confirm_undefined(self) -> None:
        """Tell the node that libvirt has no such guest, and will not define it later."""
        with suppress(OSError, MCluError):
            self._process.send(b"undefined\n")

    def keep(self) -> None:
        """Keep the build's output; raise ConnectionLost if the node has removed it already."""
        self._process.send(b"keep\n")
        if f"{self._marker} kept" not in self._process.lines():
            raise ConnectionLost("the connection was lost before the node confirmed the build", place=self._node.name)


@contextmanager
def run_build(
    node: Node,
    template: Path,
    guest: DomainSpec,
    environment: Mapping[str, str],
    admit: Callable[[Sequence[Reservation]], None],
    progress: Callable[[str], None],
    expected_format: str = "",
) -> Iterator[Build]:
    """Build the disk of a new guest on a node, and reserve its memory until the end of the block.

    `admit` is called with the earlier reservations on the node. It raises if they leave too little memory; then nothing
    is built. Without `keep`, the end of the block removes the build's output. If mclu is killed, the node removes the
    guest's definition, too. Raises NodeFault, Refused or TemplateError with the failed step and the last lines of the
    build; Interrupted reports whether the node has confirmed the cleanup.
    """
    script = _read(template, guest)
    marker = f"@{secrets.token_hex(8)}"
    argv = [*env_command(environment), "sh", "-c", BUILD, "mclu-build", marker, guest.output, _interpreter(script)]
    argv += [str(len(script)), guest.uuid, node.config.uri, guest.serial_log, expected_format, str(guest.memory_bytes)]
    process = node.start(argv)
    with _cleanup(node, process, guest, progress):
        process.send(script)
        _claim(node, process, marker, guest, admit)
        yield Build(node, process, marker, _follow(node, process, marker, guest, progress))


def check_build(node: Node, template: Path, guest: DomainSpec, removed: Iterable[str]) -> None:
    """Raise Refused if a build on a node could not begin; change nothing.

    `removed` are files that will not exist by then.
    """
    marker = f"@{secrets.token_hex(8)}"
    script = _read(template, guest)
    argv = ["sh", "-c", CHECK, "mclu-build", marker, guest.output, _interpreter(script), *removed]
    for line in node.run_read_only(argv).out.splitlines():
        event, _, detail = line.removeprefix(f"{marker} ").partition(" ")
        if line.startswith(f"{marker} ") and event != "ready":
            raise _fault(node, event, detail, ())


def _read(template: Path, guest: DomainSpec) -> bytes:
    try:
        return read_script(template)
    except TemplateError as error:
        raise error.with_context(place=guest.template) from error


def _interpreter(script: bytes) -> str:
    """Return the script's interpreter (execve(2)), or the program that env(1) runs; empty for neither."""
    first = script.split(b"\n", 1)[0].decode(errors="replace")
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    is_env = len(words) > 1 and words[0].endswith("/env") and words[1][0].isalnum() and "=" not in words[1]
    return words[is_env] if words else ""


@contextmanager
def _cleanup(node: Node, process: Process, guest: DomainSpec, progress: Callable[[str], None]) -> Iterator[None]:
    """Let the node clean up at the end of the block; turn Ctrl-C into Interrupted with the result."""
    status = -1
    try:
        try:
            yield
        except BaseException:
            progress(f"waiting for {node.name} to clean up")
            raise
        finally:
            # The end of its input makes the script clean up, or, after `keep`, end. A node that is gone gets no time.
            process.end_input()
            status = process.wait(_CLEAN_UP_S) if node.check_alive() else -1
    except KeyboardInterrupt as error:
        raise _interrupted(node, guest, is_clean=status >= 0) from error
    finally:
        process.close()


def _interrupted(node: Node, guest: DomainSpec, *, is_clean: bool) -> Interrupted:
    if is_clean:
        return Interrupted("interrupted (build output was removed)", place=node.name, guest=guest.name)
    fact = "interrupted, but the cleanup is not confirmed"
    return Interrupted(fact, place=node.name, remedy=_leftovers_remedy(guest), guest=guest.name)


def _leftovers_remedy(guest: DomainSpec) -> str:
    """Return the remedy for a node that is gone: mclu cannot know whether it lost its connection or its power."""
    return f"if the node lost power, remove {guest.output} there; otherwise it removes the build output itself"


def _claim(
    node: Node, process: Process, marker: str, guest: DomainSpec, admit: Callable[[Sequence[Reservation]], None]
) -> None:
    """Wait until the node has claimed the name and the memory; begin the build if `admit` does not raise."""
    earlier: list[Reservation] = []
    for line in process.lines():
        event, _, detail = line.removeprefix(f"{marker} ").partition(" ")
        if not line.startswith(f"{marker} "):
            continue
        if event == "claimed":
            admit(earlier)
            process.send(b"build\n")
            return
        if event != "reserved":
            raise _fault(node, event, detail, ())
        earlier += filter(None, [parse_reservation(detail)])
    raise ConnectionLost("the connection was lost before the build", place=node.name, remedy=_leftovers_remedy(guest))


def _follow(
    node: Node, process: Process, marker: str, guest: DomainSpec, progress: Callable[[str], None]
) -> BuildOutput:
    """Read the script's output until the build is ready."""
    files: list[str] = []
    identities: dict[str, str] = {}
    notes: list[str] = []
    reservations: list[Reservation] = []
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    has_log_directory = False
    for line in process.lines():
        event, _, detail = line.removeprefix(f"{marker} ").partition(" ")
        if not line.startswith(f"{marker} "):
            _add_line(line, tail, notes)
            progress(f"{node.name}:{guest.name}: {line}")
        elif event == "file":
            files.append(detail)
        elif event == "identity":
            identities |= {match[2]: match[1]} if (match := _IDENTITY.fullmatch(detail)) else {}
        elif event == "logged":
            has_log_directory = True
        elif event == "still":
            reservations += filter(None, [parse_reservation(detail)])
        elif event == "ready":
            return BuildOutput(tuple(files), _first_notes(notes), has_log_directory, tuple(reservations), identities)
        elif event != "started":
            raise template_fault(guest, event, detail, tail) or _fault(node, event, detail, tail)
    raise ConnectionLost("the connection was lost during the build", place=node.name, remedy=_leftovers_remedy(guest))


def _first_notes(notes: list[str]) -> tuple[str, ...]:
    dropped = len(notes) - _MOST_NOTES
    more = (f"({dropped} more notes)",) if dropped > 0 else ()
    return (*notes[:_MOST_NOTES], *more)


def _add_line(line: str, tail: deque[str], notes: list[str]) -> None:
    """Add a line of the build to its last lines and notes, without control characters and of limited length."""
    shown = "".join(char if char.isprintable() else " " for char in line[:_LONGEST_SHOWN]).rstrip()
    if shown:
        tail.append(shown)
    if shown.startswith(_NOTE):
        notes.append(shown.removeprefix(_NOTE))


def _fault(node: Node, event: str, detail: str, tail: Collection[str]) -> NodeFault | Refused:
    """Return the error for the event with which the script has ended."""
    match event:
        case "fault":
            return Refused(f"nothing was built: {detail}", place=node.name)
        case "unfit":
            fact = f"build failed: {detail} is not a regular file (build output was removed)"
            remedy = "write temporary files to the working directory"
            return NodeFault(fact, place=node.name, remedy=remedy)
        case _:
            more = ". Its last lines:" if tail else ""
            fault = NodeFault(
                f"build failed with exit status {detail} (build output was removed){more}", place=node.name
            )
            fault.details = tuple(tail)
            return fault
