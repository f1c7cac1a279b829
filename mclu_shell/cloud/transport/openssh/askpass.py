"""Questions of an ssh process, received from its askpass program (ssh(1), SSH_ASKPASS)."""

import os
import queue
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from mclu_shell.cloud.transport.accept import connections
from mclu_shell.cloud.transport.openssh import askpass_program
from mclu_shell.errors import MCluError, Question
from mclu_shell.files.private import PROGRAM_MODE, private_listener, replace_file, temporary_program

_LONGEST = 64 << 10
_REQUEST_TIMEOUT_S = 1.0


class Replies:
    """Passphrases and passwords by ssh's prompt, kept in memory for the nodes of one cloud."""

    def __init__(self) -> None:
        self._replies: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._replies)

    def get(self, prompt: str) -> str | None:
        """Return the reply that was given to a prompt."""
        return self._replies.get(prompt)

    def keep(self, prompt: str, reply: str) -> None:
        """Keep the reply if the same prompt may come again with the same answer, which is not so with a code."""
        if "passphrase for" in prompt or prompt.rstrip().endswith("'s password:"):
            self._replies[prompt] = reply

    def forget(self, prompt: str) -> None:
        """Forget a reply that was wrong."""
        self._replies.pop(prompt, None)


class Request(NamedTuple):
    """A question of ssh, and the connection for its reply."""

    prompt: str
    kind: str
    connection: socket.socket

    @property
    def question(self) -> Question:
        """The question for the user."""
        is_open = self.kind == "confirm" or "(yes/no" in self.prompt
        return Question(f"{self.prompt.rstrip()} ", is_secret=not is_open, is_notice=self.kind == "none")

    def reply(self, text: str | None) -> None:
        """Send the reply; None if there is none."""
        if text is not None and self.kind == "confirm" and text.strip().lower() not in ("y", "yes"):
            text = None
        with suppress(OSError), self.connection:
            if text is not None:
                self.connection.sendall(b"\0" + text.encode(errors="surrogateescape"))


class AskpassServer:
    """A socket for ssh's questions while a login is in progress; iterate over it for the questions."""

    def __init__(self, socket_path: Path) -> None:
        """Create the socket, and the program for SSH_ASKPASS beside it."""
        self._path = socket_path
        self._pending = 0
        self._answered_at = time.monotonic()
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        try:
            self._program = _write_program(socket_path)
            self._listener = private_listener(socket_path)
        except OSError as error:
            raise MCluError(f"cannot create a socket: {error.strerror}", place=str(socket_path.parent)) from error
        threading.Thread(target=self._accept, name="askpass", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables for ssh."""
        return {
            "SSH_ASKPASS": str(self._program),
            "SSH_ASKPASS_REQUIRE": "force",
            "MCLU_ASKPASS_SOCKET": str(self._path),
        }

    def __enter__(self) -> "AskpassServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._program.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests.get, None)

    def idle_s(self) -> float:
        """Return the seconds since the last reply; 0 while a question waits for one."""
        return 0.0 if self._pending else time.monotonic() - self._answered_at

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Note the end of a question's reply after the block."""
        try:
            yield
        finally:
            self._pending -= 1
            self._answered_at = time.monotonic()

    def end(self) -> None:
        """End the iteration."""
        self._requests.put(None)

    def _accept(self) -> None:
        for connection in connections(self._listener):
            with suppress(OSError):
                request = _receive(connection)
                self._pending += 1
                self._requests.put(request)


def _receive(connection: socket.socket) -> Request:
    """Read the request of an askpass program."""
    connection.settimeout(_REQUEST_TIMEOUT_S)
    data = bytearray()
    while len(data) < _LONGEST and (chunk := connection.recv(_LONGEST)):
        data += chunk
    connection.settimeout(None)
    kind, _, prompt = data.decode(errors="replace").partition("\0")
    return Request(prompt, kind, connection)


def _write_program(socket_path: Path) -> Path:
    """Write the program that ssh executes, in a directory that allows it: a run-time directory may be noexec."""
    words = [sys.executable, "-I", "-S", askpass_program.__file__]
    script = f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'.encode()
    program = socket_path.with_suffix(".sh")
    replace_file(program, script, PROGRAM_MODE)
    if not os.access(program, os.X_OK):
        program.unlink()
        program = temporary_program("mclu-askpass-", script)
    return program
