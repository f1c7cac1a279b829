"""Connections to sshd through a jump host or another proxy command (ssh_config(5), ProxyJump and ProxyCommand)."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.ssh.faults import connection_refused, no_greeting
from mclu_shell.errors import NodeFault, NodeOff, Unreachable

# The limit for a proxy command, and for the login at a jump host, which may be slow.
PROXY_TIMEOUT_S = 15.0
# The limit for each other step: the connections to the jump host and to the node, and sshd's banner.
_STEP_S = 4.0
_INTERVAL_S = 0.1
# sshd drops some of the connections if ten logins are in progress (sshd_config(5), MaxStartups).
_MOST_LOGINS = 6
_ATTEMPTS = 4
_LAST_MESSAGES_S = 0.3
# In bytes, for the messages of a proxy.
_CHUNK, _MOST_MESSAGES = 1 << 16, 1 << 18
_PAUSE_S = (0.1, 0.6)
_DROPPED = ("kex_exchange_identification", "Connection closed by", "Connection reset by")
_lock = threading.Lock()
_slots: dict[str, threading.BoundedSemaphore] = {}


def connect_through_proxy(target: Target) -> socket.socket:
    """Connect to sshd through the proxy command, and wait for its banner; raise NodeFault if there is none.

    Retry if the jump host drops the connection.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _connect(target)
        except Unreachable as fault:
            if not is_dropped(fault.fact):
                raise
        pause()
    return _connect(target)


def is_dropped(message: str) -> bool:
    """Return whether an sshd has dropped the connection before the login, as it does with too many at once."""
    return any(sign in message for sign in _DROPPED)


def pause() -> None:
    """Wait for a random time before a retry, so that the retries of several nodes do not meet again."""
    time.sleep(random.uniform(*_PAUSE_S))


def jump_slot(target: Target) -> contextlib.AbstractContextManager[object]:
    """Return a context manager that limits the number of logins in progress at one jump host."""
    if not target.jump:
        return contextlib.nullcontext()
    with _lock:
        return _slots.setdefault(target.jump, threading.BoundedSemaphore(_MOST_LOGINS))


class ProxyProgress:
    """The deadline of a proxy, later with each step that the messages of a jump host's ssh show."""

    def __init__(self, target: Target) -> None:
        self._steps = 0
        self.deadline = time.monotonic() + (_STEP_S if target.jump else PROXY_TIMEOUT_S)

    def update(self, messages: str) -> None:
        """Extend the deadline if the messages show another step."""
        is_dialled = "Connection established" in messages or _is_at_jump_host(messages)
        steps = is_dialled + _is_at_jump_host(messages) + _is_connected(messages)
        if steps > self._steps:
            self._steps = steps
            self.deadline = time.monotonic() + (PROXY_TIMEOUT_S if steps == 1 else _STEP_S)


def _connect(target: Target) -> socket.socket:
    ours, theirs = socket.socketpair()
    with jump_slot(target):
        # In its own session, the proxy cannot read our terminal, and Ctrl-C at the prompt does not end it.
        command = [_shell(target), "-c", f"exec {target.proxy}"]
        # With our copy of its end closed, `ours` reads the end of input as soon as the proxy exits.
        with theirs:
            end = theirs.fileno()
            proxy = _start(command, target, end)
            messages = _Messages(proxy)
        if not _has_banner(ours, messages, ProxyProgress(target)):
            ours.close()
            # Its child processes share its process group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(proxy.pid, signal.SIGTERM)
            messages.wait_ended()
            raise proxy_fault(target, messages.text)
    ours.settimeout(None)
    return ours


def _shell(target: Target) -> str:
    """Return the shell for the proxy command: like ssh, the user's shell for the command of the configuration."""
    return "/bin/sh" if target.jump else os.environ.get("SHELL") or "/bin/sh"


def _start(command: list[str], target: Target, end: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        fact = f"cannot run {command[0]}: {error.strerror}"
        raise Unreachable(fact, place=target.node, remedy="set SHELL to your login shell") from error


def _has_banner(ours: socket.socket, messages: "_Messages", progress: ProxyProgress) -> bool:
    """Return whether sshd's banner arrives in time."""
    ours.settimeout(_INTERVAL_S)
    while time.monotonic() < progress.deadline:
        try:
            return ours.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            progress.update(messages.text)
        except OSError:
            return False
    return False


class _Messages:
    """The first messages of a proxy; a thread reads the others until its end, so that it never blocks."""

    def __init__(self, proxy: "subprocess.Popen[bytes]") -> None:
        self._data = bytearray()
        self._reader = threading.Thread(target=self._read, args=(proxy,), name="proxy messages", daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """The messages so far."""
        return bytes(self._data).decode(errors="replace")

    def wait_ended(self) -> None:
        """Wait a moment for the last messages of a proxy that ends."""
        self._reader.join(_LAST_MESSAGES_S)

    def _read(self, proxy: "subprocess.Popen[bytes]") -> None:
        assert proxy.stderr is not None
        with proxy.stderr as messages:
            while chunk := messages.read1(_CHUNK):  # type: ignore[attr-defined]
                self._data += chunk[: _MOST_MESSAGES - len(self._data)]


def _is_at_jump_host(messages: str) -> bool:
    # ssh writes the second message if it shares an open connection (ControlMaster).
    return "Authenticated to" in messages or "hello_exchange: master version" in messages


def _is_connected(messages: str) -> bool:
    return "open confirm" in messages or "stdio_fwd: master session id" in messages


def proxy_fault(target: Target, messages: str) -> NodeFault:
    """Return the node's fault from the messages of the jump host's ssh.

    The node is off only if the login at the jump host succeeded and the jump host could not reach the node.
    """
    if _is_at_jump_host(messages):
        if _is_connected(messages):
            return no_greeting(target)
        if "connect failed: Connection refused" in messages:
            return connection_refused(target)
        if "open failed" not in messages or any(
            sign in messages for sign in ("No route to host", "timed out", "Host is unreachable")
        ):
            return NodeOff(target.node)
    lines = [line.strip() for line in messages.splitlines() if line.strip() and not line.startswith("debug")]
    through = f"through {target.jump}" if target.jump else "through ProxyCommand"
    reason = lines[-1].rstrip(".") if lines else "no greeting of sshd"
    return Unreachable(f"cannot connect {through}: {reason}", place=target.node, remedy=f"run {target.login}")
