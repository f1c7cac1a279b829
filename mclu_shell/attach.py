"""What commands hand the terminal over to: a guest's console, and the viewer of its screen."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mclu_shell.cloud.console.screen import Screen, find_screen
from mclu_shell.cloud.console.session import explain_end, open_console, require_console
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import to_type
from mclu_shell.cloud.transport.forward import PortForward
from mclu_shell.errors import ConnectionLost, MCluError, OutputError
from mclu_shell.output.results import Handover, Result, Text
from mclu_shell.output.schema.screen import ScreenRecord
from mclu_shell.terminal import Terminal

# virt-viewer itself would look for the guest by its own connection; this one, from the same package, takes an address.
_VIEWER = "remote-viewer"
# At the prompt, how long a viewer may take to say what is wrong, before the next line is read.
_SHOWS_ITSELF_S = 3.0
# How often the way to the node is looked at, and, while nothing else is to be done, signals.
_LOOK_S = 2.0
_POLL_S = 0.05


def console_of(node: Node, name: str, *, force: bool = False, log: Path | None = None) -> Handover:
    """A running guest's console in the terminal; raises if it can have none."""
    require_console(node, name)
    return Handover(f"console of {node.name}:{name}", partial(_console, node, name, force, log))


def _console(node: Node, name: str, force: bool, log: Path | None, terminal: Terminal) -> None:
    with _log(log) as tee, open_console(node, name, force=force) as console:
        if terminal.is_typed:
            terminal.say(f"Connected to {node.name}:{name}; ^] leaves.")
        has_left = terminal.carry(console.socket, tee)
        fault = console.fault
    if terminal.is_typed:
        # The guest's last line need not have ended.
        terminal.say("")
    if not has_left:
        terminal.say(explain_end(node, name, fault))


@contextlib.contextmanager
def _log(path: Path | None) -> Iterator[Callable[[bytes], object] | None]:
    """What writes to the end of a file, at once."""
    if path is None:
        yield None
        return

    def write(data: bytes) -> None:
        try:
            file.write(data)
        except OSError as error:
            raise _unwritable(path, error) from error

    try:
        file = path.expanduser().open("ab", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        yield write


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write: {error.strerror}", place=str(path))


def viewer_of(node: Node, name: str) -> Handover:
    """A running guest's screen in a viewer; raises if it has no screen, or there is no viewer."""
    screen = find_screen(node, name)
    return Handover(f"viewer of {node.name}:{name}", partial(_viewer, screen, viewer_for(node, name)))


def viewer_for(node: Node, name: str) -> str:
    """The viewer that a guest's screen is shown with; raises if it is not installed."""
    return require_viewer(f"or have the address for another viewer: {to_type('viewer --print', node.name, name)}")


def require_viewer(otherwise: str) -> str:
    """The path of the viewer; raises if it is not installed, with what there is to do otherwise."""
    program = shutil.which(_VIEWER)
    if program is None:
        raise MCluError(f"{_VIEWER} is not installed", remedy=f"install the package virt-viewer, {otherwise}")
    return program


def address_of(node: Node, name: str) -> Iterator[Result]:
    """The address of a running guest's screen, and what keeps it while it is wanted; raises if it has no screen."""
    screen = find_screen(node, name)
    forward = screen.open()
    try:
        uri = screen.uri(forward)
        yield Text(uri, data=partial(ScreenRecord, node.name, name, uri))
    except BaseException:
        forward.close()
        raise
    yield Handover(f"address of the screen of {node.name}:{name}", partial(_keep_open, screen, forward))


def _keep_open(screen: Screen, forward: PortForward, terminal: Terminal) -> None:
    try:
        if terminal.is_prompt:
            # It stays for as long as the shell does: the threads that carry it have it.
            return
        terminal.say("Ctrl-C closes it.")
        _attend(screen.node, threading.Event().wait)
        _require_node(screen.node)
    except BaseException:
        forward.close()
        raise


def _attend(node: Node, has_ended: Callable[[float], bool]) -> None:
    """Return when what has the screen has ended, or the node does not answer any more."""
    while not has_ended(_LOOK_S) and node.check_alive():
        pass


def _require_node(node: Node) -> None:
    """Raise what is wrong with a node whose connection is gone, if it is."""
    if not node.check_alive():
        node.query(lambda _client: None)
        raise ConnectionLost("the connection was lost", place=node.name)


def _viewer(screen: Screen, program: str, terminal: Terminal) -> None:
    viewing = _Viewing(screen, program)
    if terminal.is_prompt:
        threading.Thread(target=viewing.attend, daemon=True).start()
        viewing.wait_until_seen()
    else:
        viewing.attend()
        _require_node(screen.node)
    viewing.complain()


def _how_ended(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class _Viewing:
    """A viewer that runs, and the forward that it uses."""

    def __init__(self, screen: Screen, program: str) -> None:
        self._screen, self._program = screen, program
        self._forward = screen.open()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 – it goes with this object.
        title = f"{screen.node.name}:{screen.guest}"
        try:
            self._process = subprocess.Popen(
                [program, "--title", title, "--", screen.uri(self._forward)],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                # The user's Ctrl-C at the prompt is not for it.
                start_new_session=True,
            )
        except OSError as error:
            self._forward.close()
            raise MCluError(f"{program} cannot be started: {error.strerror}") from error

    def attend(self) -> None:
        """Return when the viewer has ended; end it when the node is lost, or we are."""
        try:
            _attend(self._screen.node, self._has_ended)
        finally:
            self._process.terminate()
            self._process.wait()
            self._forward.close()

    def _has_ended(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            return True
        return False

    def wait_until_seen(self) -> None:
        """Return when the viewer has connected or failed, or has taken longer than a user waits for the prompt."""
        deadline = time.monotonic() + _SHOWS_ITSELF_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._forward.was_used.wait(_POLL_S):
                return

    def complain(self) -> None:
        """Raise what the viewer said of its failure, if it has failed."""
        status = self._process.poll()
        if not status:
            return
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        shown = to_type("viewer --print", self._screen.node.name, self._screen.guest)
        raise MCluError(
            f"{self._program}: {lines[-1] if lines else _how_ended(status)}",
            place=self._screen.node.name,
            remedy=f"{shown} gives its address to another one",
        )
