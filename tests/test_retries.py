"""The pytest plugin that counts retries, in runs of pytest with and without pytest-xdist."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.support.lab import REPOSITORY

# Each flaky test fails in its first run. All of them may be retried.
TESTS = """
import pytest
runs = set()
@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("number", range({tests}))
def test_number(number):
    is_first = number not in runs
    runs.add(number)
    assert not (is_first and number < {flaky}), f"number {{number}}"
def test_without_retries():
    pass
"""


def run(directory: Path, *options: str, tests: int, flaky: int) -> tuple[int, str]:
    """Run pytest on tests of which some need a retry, and return its exit status and output."""
    (directory / "test_numbers.py").write_text(TESTS.format(tests=tests, flaky=flaky))
    command = [sys.executable, "-m", "pytest", "-p", "tests.retries", "-q", "--rootdir", str(directory), *options]
    completed = subprocess.run(
        [*command, str(directory)], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    return completed.returncode, completed.stdout


@pytest.mark.parametrize("options", [(), ("-n", "2", "--dist", "loadfile")], ids=["one process", "xdist"])
def test_ci_fails_when_more_than_one_percent_of_the_tests_were_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CI", "true")
    status, output = run(tmp_path, *options, tests=100, flaky=2)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "test_numbers.py::test_number[1]: AssertionError: number 1\n" in output
    assert "2 of the 100 tests that may be retried needed it (2.0 %): too many, the limit in CI is 1 %\n" in output


@pytest.mark.parametrize(("ci", "flaky"), [("true", 1), ("", 2)])
def test_few_retries_in_ci_or_any_outside_it_are_printed_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, flaky: int
) -> None:
    monkeypatch.setenv("CI", ci)
    status, output = run(tmp_path, tests=100, flaky=flaky)
    assert status == pytest.ExitCode.OK
    assert f"{flaky} of the 100 tests that may be retried needed it ({flaky}.0 %)\n" in output


def test_a_run_without_retriable_tests_prints_no_count(tmp_path: Path) -> None:
    status, output = run(tmp_path, tests=0, flaky=0)
    assert status == pytest.ExitCode.OK
    assert "retries" not in output.replace("tests.retries", "").replace("test_without_retries", "")
