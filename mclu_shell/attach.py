"""Attaching a guest's console to the terminal, and showing its screen in a viewer."""

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
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.cloud.transport.forward import PortForward
from mclu_shell.errors import ConnectionLost, MCluError, OutputError
from mclu_shell.output.results import Handover, Result, Text
from mclu_shell.output.schema.screen import ScreenRecord
from mclu_shell.terminal.relay import Terminal
from mclu_shell.user_paths import expand_home

# virt-viewer would make its own connection to libvirt; remote-viewer, of the same package, takes an address.
_VIEWER = "remote-viewer"
# At the prompt, the time to wait for a viewer's error before the next line is read.
_STARTUP_S = 3.0
# The interval of checks of the connection to the node, and of polls for the viewer's state.
_CHECK_S = 2.0
_POLL_S = 0.05


def console_of(node: Node, name: str, *, force: bool = False, log: Path | None = None) -> Handover:
    """Attach to a running guest's console; raise an error if it has none."""
    require_console(node, name)
    return Handover(f"console of {node.name}:{name}", partial(_console, node, name, force, log))


def _console(node: Node, name: str, force: bool, log: Path | None, terminal: Terminal) -> None:
    with _log(log) as tee, open_console(node, name, force=force) as console:
        if terminal.is_typed:
            terminal.print(f"Connected to {node.name}:{name}; ^] leaves.")
        has_left = terminal.relay(console.socket, tee)
        fault = console.fault
    if terminal.is_typed:
        # The guest's last line may be incomplete.
        terminal.print("")
    if not has_left:
        terminal.print(explain_end(node, name, fault))


@contextlib.contextmanager
def _log(path: Path | None) -> Iterator[Callable[[bytes], object] | None]:
    """Provide a function that appends to a file without buffering, or None without a path."""
    if path is None:
        yield None
        return

    def write(data: bytes) -> None:
        try:
            file.write(data)
        except OSError as error:
            raise _unwritable(path, error) from error

    try:
        file = open(expand_home(str(path)), "ab", buffering=0)  # noqa: PTH123, SIM115
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        yield write


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write: {error.strerror}", place=str(path))


def viewer_of(node: Node, name: str) -> Handover:
    """Show a running guest's screen in a viewer; raise an error without a screen or a viewer."""
    screen = find_screen(node, name)
    return Handover(f"viewer of {node.name}:{name}", partial(_viewer, screen, viewer_for(node, name)))


def viewer_for(node: Node, name: str) -> str:
    """Return the path of the viewer for a guest's screen; raise an error if it is not installed."""
    return require_viewer(
        f"or run {guest_command('viewer --print', node.name, name)} to get the address for another viewer"
    )


def require_viewer(alternative: str) -> str:
    """Return the path of the viewer; raise an error if it is not installed, with an alternative as the remedy."""
    program = shutil.which(_VIEWER)
    if program is None:
        raise MCluError(f"{_VIEWER} is not installed", remedy=f"install the package virt-viewer, {alternative}")
    return program


def address_of(node: Node, name: str) -> Iterator[Result]:
    """Yield the address of a running guest's screen, then keep it open; raise an error without a screen."""
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
            # The forward's threads keep it open until the shell ends.
            return
        terminal.print("Ctrl-C closes it.")
        _attend(screen.node, threading.Event().wait)
        _require_node(screen.node)
    except BaseException:
        forward.close()
        raise


def _attend(node: Node, has_ended: Callable[[float], bool]) -> None:
    """Return when the viewer has ended, or the connection to the node is lost."""
    while not has_ended(_CHECK_S) and node.check_alive():
        pass


def _require_node(node: Node) -> None:
    """Raise the error of a node whose connection is lost."""
    if not node.check_alive():
        node.query(lambda _client: None)
        raise ConnectionLost("the connection was lost", place=node.name)


def _viewer(screen: Screen, program: str, terminal: Terminal) -> None:
    viewer = _ViewerProcess(screen, program)
    if terminal.is_prompt:
        threading.Thread(target=viewer.attend, daemon=True).start()
        viewer.wait_for_startup()
    else:
        viewer.attend()
        _require_node(screen.node)
    viewer.raise_failure()


def _how_ended(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class _ViewerProcess:
    """A running viewer, and the forward that it uses."""

    def __init__(self, screen: Screen, program: str) -> None:
        self._screen, self._program = screen, program
        self._forward = screen.open()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 – closed with this object.
        title = f"{screen.node.name}:{screen.guest}"
        try:
            self._process = subprocess.Popen(
                [program, "--title", title, "--", screen.uri(self._forward)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                # Ctrl-C at the prompt must not end it.
                start_new_session=True,
            )
        except OSError as error:
            self._forward.close()
            raise MCluError(f"cannot start {program}: {error.strerror}") from error

    def attend(self) -> None:
        """Wait for the viewer; end it when the connection to the node is lost, or when mclu ends."""
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

    def wait_for_startup(self) -> None:
        """Wait until the viewer has connected or failed, for at most 3 seconds."""
        deadline = time.monotonic() + _STARTUP_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._forward.was_used.wait(_POLL_S):
                return

    def raise_failure(self) -> None:
        """Raise the viewer's own error message if it has failed."""
        status = self._process.poll()
        if not status:
            return
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        command = guest_command("viewer --print", self._screen.node.name, self._screen.guest)
        raise MCluError(
            f"{self._program}: {lines[-1] if lines else _how_ended(status)}",
            place=self._screen.node.name,
            remedy=f"run {command} to get the address for another viewer",
        )
