"""Signals during an import, and while mclu leaves."""

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
_IMPORTS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from mclu_shell import cli
def complete(words):
    try:
        import sends
        imported = True
        time.sleep(10)
    except (KeyboardInterrupt, SystemExit) as error:
        print(imported, sends.is_whole, repr(error))
    return 0
cli._complete = complete
cli.main(["--complete"])
"""
_LEAVES = """
import os, signal, sys
from mclu_shell import cli
leave = cli._leave
def leave_with_signals(session):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    leave(session)
    print("left")
cli._leave = leave_with_signals
print(cli.main(["--demo", "status", "ham1"]))
"""


def run(code: str, *words: str) -> tuple[str, str]:
    """Run Python code, and return its output and errors."""
    command = [sys.executable, "-c", code, *words]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return completed.stdout, completed.stderr


@pytest.mark.parametrize(
    ("name", "raised"),
    [("SIGINT", "KeyboardInterrupt()"), ("SIGTERM", "Ended(15)"), ("SIGHUP", "Ended(1)")],
)
def test_a_signal_during_an_import_takes_effect_after_it(tmp_path: Path, name: str, raised: str) -> None:
    (tmp_path / "sends.py").write_text(_SENDS.format(name=name))
    assert run(_IMPORTS, str(tmp_path)) == (f"True True {raised}\n", "")


def test_signals_do_not_stop_mclu_from_closing_its_session() -> None:
    assert run(_LEAVES) == ("ham1 off\nleft\n0\n", "")
