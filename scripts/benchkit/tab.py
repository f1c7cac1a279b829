"""Measurement of completion in the user's own shell, from a cached snapshot of many guests."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def to_answer(mclu: str, *lines: str) -> Callable[[], float]:
    """Measure the whole process that completes a line; return the slowest of several lines."""

    def measure() -> float:
        with tempfile.TemporaryDirectory() as directory:
            os.environ["XDG_CACHE_HOME"] = directory
            config = _crowd(Path(directory))
            return max(_seconds(mclu, config, line) for line in lines)

    return measure


def _seconds(mclu: str, config: Path, line: str) -> float:
    command = [mclu, "--complete", "bash", "9", " \t\n\"'@><=;|&(:", f"mclu -f {config} {line}"]
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    taken = time.perf_counter() - started
    assert done.stdout.count(b"\n") > 1, line
    return taken


def _crowd(directory: Path) -> Path:
    """Write a snapshot of 300 nodes and 10,200 guests to the cache; return its configuration."""
    from mclu_shell.cloud.state.disk_cache import cache_file, save
    from mclu_shell.cloud.state.guest import Guest, NodeInfo
    from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
    from mclu_shell.config import load_config

    def view(i: int) -> NodeView:
        name = f"node{i:03}"
        guests = (
            Guest(name, f"guest-{i:03}-{j:02}", f"4dea22b3-1d52-d8f3-2516-{i:06}{j:06}", "running", 1 << 30, 1)
            for j in range(34)
        )
        return NodeView(name, NodeState(Phase.ON, 0.0), tuple(guests), NodeInfo(8, 1 << 36, 1 << 35), time.time())

    views = tuple(map(view, range(300)))
    config = directory / "mclu.conf"
    config.write_text("\n".join(["[nodes]", *(view.name for view in views)]) + "\n")
    assert save(Snapshot(views), cache_file(load_config(config)))
    return config
