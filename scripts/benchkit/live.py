"""Measurements of an open interactive shell in a lab."""

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pexpect

Timer = Callable[[], float]

_CONNECTED_S = 60.0
_IDLE_S = 20.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class _Shell:
    """A shell in a pseudo-terminal that is connected to all nodes that are on."""

    def __init__(self, mclu: str, nodes: int) -> None:
        environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self._program = pexpect.spawn(
            mclu, env=environment, dimensions=(24, 80), encoding="utf-8", timeout=_CONNECTED_S
        )
        self._program.expect_exact("mclu>")
        deadline = time.monotonic() + _CONNECTED_S
        while len(list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("mclu-run-*/[0-9]*.sock"))) < nodes:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # Let the connections settle.
        time.sleep(5)
        self.pid = int(str(self._program.pid))

    def cpu_s(self) -> float:
        """Return the processor time used so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def resident_mib(self) -> float:
        """Return the resident memory, in MiB."""
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert match
        return int(match[1]) / 1024


def beside_a_shell(mclu: str, nodes: int, timer: Timer) -> Timer:
    """Make a measurement while a shell is open; the first call starts the shell."""
    shells: list[_Shell] = []

    def measure() -> float:
        if not shells:
            shells.append(_Shell(mclu, nodes))
        return timer()

    return measure


def idle_cpu(mclu: str, nodes: int) -> Timer:
    """Measure the processor seconds per second of an idle shell."""

    def measure() -> float:
        shell = _Shell(mclu, nodes)
        before = shell.cpu_s()
        time.sleep(_IDLE_S)
        return (shell.cpu_s() - before) / _IDLE_S

    return measure


def idle_memory(mclu: str, nodes: int) -> Timer:
    """Measure the resident memory of an idle shell, in MiB."""
    return lambda: _Shell(mclu, nodes).resident_mib()


def change_known() -> float:
    """Measure from another program's definition of a guest to its event in this process, which makes no query."""
    from mclu_shell.cloud.open import open_cloud
    from mclu_shell.cloud.state.snapshot import Phase
    from mclu_shell.config import find_config, load_config

    config = load_config(find_config(None))
    ours, other = open_cloud(config), open_cloud(config).nodes[0]
    changed = threading.Condition()

    def notify() -> None:
        with changed:
            changed.notify_all()

    def until(is_so: Callable[[], bool]) -> None:
        with changed:
            while not is_so():
                assert changed.wait(_CONNECTED_S), ours.snapshot

    uuid = "00000000-0000-4000-8000-000000000001"
    xml = (
        f"<domain type='qemu'><name>bench</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    view = ours.nodes[0].store
    try:
        other.fetch_guests()
        ours.supervise(notify, lambda _words: None)
        until(lambda: view.view.state.phase == Phase.ON)
        started = time.perf_counter()
        other.change(lambda client: client.define(xml))
        until(lambda: bool(view.view.guests))
        return time.perf_counter() - started
    finally:
        other.change_guest("bench", "undefine", uuid)
        ours.close()
        other.close()
