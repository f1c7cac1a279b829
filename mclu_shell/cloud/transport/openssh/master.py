"""An ssh process that logs in to a node and shares its connection through a control socket (ssh(1), -M).

It ends with this process: the kernel sends it SIGTERM then (PR_SET_PDEATHSIG of prctl(2)).
"""

import logging
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from mclu_shell.cloud.transport.budget import Budget

_log = logging.getLogger(__name__)

# Options for the part of a login that mclu uses. Port forwards and programs of the user's own sessions stay out.
_OPTIONS: Final = {
    "ClearAllForwardings": "yes",
    "ControlPersist": "no",
    "EscapeChar": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "StreamLocalBindMask": "0177",
    "Tunnel": "no",
    "VisualHostKey": "no",
    # The lines below are recognized at this level.
    "LogLevel": "DEBUG1",
}
_CONNECTED = "debug1: Connection established"
_REFUSED = "open failed: "
# Runs ssh unless mclu, whose process ID is $0, has ended before the kernel was asked to report its end. ssh creates
# known_hosts with the umask of its caller, so other users must not get write permission.
_UNLESS_ORPHANED = 'umask go-w; [ "$PPID" = "$0" ] && exec "$@"'
_MOST_LINES = 400
# In bytes; OpenSSH's own messages have at most 1 KiB, but sshd's banner may have any length.
_LONGEST_LINE = 8 << 10
# In bytes, for all messages: sshd may have ssh print any number (RFC 4253, section 11.3).
_MESSAGE_BYTES, _MESSAGE_BYTES_PER_S = 1 << 20, 64 << 10
_LAST_MESSAGES_S = 0.3


class MasterProcess:
    """A running `ssh -M`; it has no terminal, and asks through `environment`'s SSH_ASKPASS if at all."""

    def __init__(
        self, words: Sequence[str], control: Path, greeting: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start ssh with these words (options, and the host); OSError if it cannot be started.

        `greeting` begins its message after sshd's banner.
        """
        self.control = self.files = control
        self._greeting = greeting
        options = [f"-o{key}={value}" for key, value in _OPTIONS.items()]
        command = ["ssh", "-M", "-N", "-T", "-S", str(control), *options, *words]
        _log.debug("%s", shlex.join(command))
        self._changed = threading.Condition()
        self._reaping = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._line_count = 0
        self._is_connected = self._is_greeted = self._is_ready = self._has_ended = self._is_closed = False
        parent = str(os.getpid())
        self._child = _start(
            ["setpriv", "--pdeathsig", "TERM", "sh", "-c", _UNLESS_ORPHANED, parent, *command], environment
        )
        reader = threading.Thread(target=self._read, name=f"ssh {control.name}", daemon=True)
        reader.start()
        threading.Thread(target=self._reap, args=(reader,), name=f"ssh {control.name} end", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """True while the process runs and its connection is open."""
        return self._is_ready and not self._has_ended and not self._is_closed

    @property
    def messages(self) -> str:
        """The last messages, with those of the debug level."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_connected(self, deadline: float) -> bool:
        """Return whether the host has accepted a connection, or the process has ended, before `deadline`."""
        return self._wait(lambda: self._is_connected or self._has_ended, deadline)

    def wait_greeted(self, deadline: float) -> bool:
        """Return whether sshd has sent its banner, or the process has ended, before `deadline`."""
        return self._wait(lambda: self._is_greeted or self._has_ended, deadline)

    def wait_ready(self, deadline: float) -> bool:
        """Return whether the login has succeeded before `deadline` (of `time.monotonic`)."""
        self._wait(lambda: self._is_ready or self._has_ended, deadline)
        return self.is_alive

    @property
    def has_ended(self) -> bool:
        """True after the end of the process."""
        return self._has_ended

    def mark(self) -> int:
        """Return a mark for `find_refusal`."""
        return self._line_count

    def find_refusal(self, mark: int, timeout_s: float) -> str:
        """Return the first message after the mark that a channel was refused; empty if none comes in time."""
        self._wait(lambda: self._refusal(mark) != "", time.monotonic() + timeout_s)
        with self._changed:
            return self._refusal(mark)

    def wait_ended(self, timeout_s: float) -> None:
        """Wait for the end of the process, and so for all of its messages."""
        self._wait(lambda: self._has_ended, time.monotonic() + timeout_s)

    def close(self) -> None:
        """End the process; every channel and session ends at once."""
        # The end of the process is noticed a little later.
        self._is_closed = True
        with self._reaping:
            # After that, the process ID may be another process's.
            if self._child.returncode is None:
                self._end_group()

    def _end_group(self) -> None:
        """End the process and its proxy, which may not end with it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGTERM)

    def _refusal(self, mark: int) -> str:
        recent = list(self._lines)[-(self._line_count - mark) :] if self._line_count > mark else []
        return next((line for line in recent if _REFUSED in line), "")

    def _wait(self, condition: Callable[[], bool], deadline: float) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, max(0.0, deadline - time.monotonic()))

    def _read(self) -> None:
        assert self._child.stderr is not None
        # Versions before 9.1 print "new [PATH]".
        listening = re.compile(rf"debug1: channel \d+: new .*\[{re.escape(str(self.control))}\]")
        with self._child.stderr as lines:
            budget = Budget(_MESSAGE_BYTES, _MESSAGE_BYTES_PER_S)
            for raw in iter(partial(lines.readline, _LONGEST_LINE), b""):
                if not budget.spend(len(raw)):
                    self.close()
                self._add(raw.decode(errors="replace").rstrip(), listening)

    def _add(self, line: str, listening: re.Pattern[str]) -> None:
        is_connected, is_greeted = line.startswith(_CONNECTED), line.startswith(self._greeting)
        is_ready = listening.match(line) is not None
        with self._changed:
            self._lines.append(line)
            self._line_count += 1
            self._is_connected |= is_connected
            self._is_greeted |= is_greeted
            self._is_ready |= is_ready
            # A login has 90 lines; each notification would need a switch of threads.
            if is_connected or is_greeted or is_ready or _REFUSED in line:
                self._changed.notify_all()

    def _reap(self, reader: threading.Thread) -> None:
        os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        # The last messages arrive now. A proxy may hold the pipe for longer than the process itself.
        reader.join(_LAST_MESSAGES_S)
        with self._reaping:
            self._end_group()
            self._child.wait()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        with suppress(OSError):
            self.control.unlink(missing_ok=True)


_Request = tuple[Sequence[str], Mapping[str, str] | None, "Future[subprocess.Popen[bytes]]"]


class _Starter:
    """The thread that starts all ssh processes; the kernel ends them with the thread that has started them."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="ssh processes", daemon=True).start()

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None) -> "subprocess.Popen[bytes]":
        future: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((command, environment, future))
        return future.result()

    def _serve(self) -> None:
        while True:
            command, environment, future = self._requests.get()
            try:
                # In a session of its own, ssh cannot read the terminal, and Ctrl-C at the prompt does not end it.
                child = subprocess.Popen(
                    command,
                    env={**os.environ, **environment} if environment else None,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except BaseException as error:  # noqa: BLE001 – the other thread raises it.
                future.set_exception(error)
            else:
                future.set_result(child)


_lock = threading.Lock()
_starters: list[_Starter] = []


def _start(command: Sequence[str], environment: Mapping[str, str] | None) -> "subprocess.Popen[bytes]":
    with _lock:
        if not _starters:
            _starters.append(_Starter())
    return _starters[0].start(command, environment)
