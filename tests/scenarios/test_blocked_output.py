"""Output whose reader is there, but does not read."""

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.mclu import MCLU

_TIMEOUT_S = 20.0


def full_pipe() -> tuple[int, int]:
    """Return the ends of a pipe that takes no more data."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, bytes(4096))
    return reader, writer


def is_writing(pid: int) -> bool:
    """Return whether a process is blocked in a write to a pipe."""
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text() or Path(
        f"/proc/{pid}/syscall"
    ).read_text().startswith("1 ")


@pytest.mark.parametrize("line", ["on ham1 ham2 ham3", "status"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_repeated_signals_end_mclu(line: str, number: signal.Signals) -> None:
    reader, writer = full_pipe()
    with subprocess.Popen([MCLU, "--demo", *line.split()], stdout=writer, stderr=subprocess.PIPE) as program:
        deadline = time.monotonic() + _TIMEOUT_S
        while not is_writing(program.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            while program.poll() is None and time.monotonic() < deadline:
                program.send_signal(number)
                time.sleep(0.05)
        finally:
            program.kill()
        assert program.returncode == 128 + number
    os.close(reader)
    os.close(writer)
