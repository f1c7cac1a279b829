"""Errors of the operating system in any place of mclu: no traceback and no internal error; mclu ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.failing_calls import ENDLESS

REPOSITORY = Path(__file__).parents[2]
# Each line, and a part of its output without a fault.
LINES = {
    "-f {config} status": "guests 2vcpus",
    "-o json list --templates": '"kind": "list"',
    "--demo template check {shipped}/tiny.template": "probe prints hello",
    "-n --demo boot empty new": "would boot ham0:new",
    "--demo -c list": "ham0:web",
    "--demo {script}": "ham0 on",
    "--install-completion=bash": "Wrote ",
    "--complete zsh st": "status",
}


def failing_runs(line: str, keys: str, tmp_path: Path) -> list[tuple[tuple[str, str], int, str]]:
    """Run mclu without a fault, and then once for each place and fault."""
    config, script = tmp_path / "mclu.conf", tmp_path / "x.mclu"
    config.write_text("[nodes]\nlab via=local uri=test:///default\nham9 address=127.0.0.1 port=1\n")
    script.write_text("status ham0\n")
    words = line.format(config=config, script=script, shipped=REPOSITORY / "templates").split()
    environment = {**os.environ, "MCLU_PATH": "", "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1"}
    completed = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.failing_calls", keys, *words],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=540,
    )
    runs = json.loads(completed.stdout)
    return [(tuple(fault), status, output) for fault, status, output in runs]


def assert_reported(runs: list[tuple[tuple[str, str], int, str]]) -> None:
    """Assert that no run printed a traceback or an internal error, was killed, or did not end."""
    wrong = [
        (fault, status, output[-2000:])
        for fault, status, output in runs
        if status < 0 or any(words in output for words in ("Traceback", "internal error", ENDLESS))
    ]
    assert wrong == []


@pytest.mark.parametrize("line", LINES)
def test_a_failing_call_is_reported(line: str, tmp_path: Path) -> None:
    first, *runs = failing_runs(line, "", tmp_path)
    assert LINES[line] in first[2], first
    assert_reported(runs)
    # Most faults must have an effect, or else the calls did not fail.
    assert any(output != first[2] for _, _, output in runs)


@pytest.mark.slow
def test_a_failing_call_is_reported_at_the_prompt(tmp_path: Path) -> None:
    first, *runs = failing_runs("-f {config}", "list\\rquit\\r", tmp_path)
    assert "lab:test" in first[2]
    assert len(runs) > 50
    assert_reported(runs)
