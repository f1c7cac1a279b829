"""Modules that a run of mclu imports."""

import subprocess
import sys


def imported_packages(*words: str) -> set[str]:
    """Run mclu with these arguments, and return the top-level packages that it imports."""
    command = [sys.executable, "-X", "importtime", "-m", "mclu_shell.cli", *words]
    completed = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=True
    )
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in completed.stderr.splitlines()}
