"""Signals that come at a bad moment."""

import subprocess
import sys
from pathlib import Path

import pytest

_SENDS = """
import os, signal
os.kill(os.getpid(), signal.{name})
# The handler runs between two steps of the program.
for _ in range(100):
    pass
is_whole = True
"""
_RUNS = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
from mclu_shell import cli
from mclu_shell.signals import ENDING
for number in ENDING:
    signal.signal(number, cli._end)
try:
    import sends
    imported = True
    time.sleep(10)
except (KeyboardInterrupt, SystemExit) as error:
    print(imported, sends.is_whole, repr(error))
"""


@pytest.mark.parametrize(
    ("name", "raised"),
    [("SIGINT", "KeyboardInterrupt()"), ("SIGTERM", "SystemExit(143)"), ("SIGHUP", "SystemExit(129)")],
)
def test_what_comes_within_an_import_is_heard_behind_it(tmp_path: Path, name: str, raised: str) -> None:
    (tmp_path / "sends.py").write_text(_SENDS.format(name=name))
    done = subprocess.run(
        [sys.executable, "-c", _RUNS, str(tmp_path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.stdout, done.stderr) == (f"True True {raised}\n", "")
