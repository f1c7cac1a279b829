"""A pytest plugin that counts the tests that needed a retry, and fails a CI run with too many of them.

With pytest-xdist it counts in the controller. The tests with the marker `flaky` may be retried.
"""

import os
from collections import Counter

import pytest

MOST_PERCENT = 1.0


def _reports(config: pytest.Config, *outcomes: str) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(reporter, pytest.TerminalReporter):
        return []
    reports = (report for outcome in outcomes for report in reporter.stats.get(outcome, []))
    return [report for report in reports if isinstance(report, pytest.TestReport) and "flaky" in report.keywords]


def _count(config: pytest.Config) -> tuple[Counter[str], int]:
    """Return the number of retries of each test that needed one, and the number of tests that may be retried."""
    retries = Counter(report.nodeid for report in _reports(config, "rerun"))
    return retries, len({report.nodeid for report in _reports(config, "passed", "failed", "error", "rerun")})


def _are_too_many(config: pytest.Config) -> bool:
    retries, tests = _count(config)
    return bool(os.environ.get("CI")) and len(retries) * 100 > tests * MOST_PERCENT


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a CI run that would otherwise pass if too many tests needed a retry."""
    if exitstatus == pytest.ExitCode.OK and _are_too_many(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tests that needed a retry, with the number of retries and the first line of each error."""
    retries, tests = _count(config)
    if not tests:
        return
    share = f"{100 * len(retries) / tests:.1f} %"
    terminalreporter.section("retries")
    for report in _reports(config, "rerun"):
        terminalreporter.line(f"{report.nodeid}: {_first_line(report)}")
    verdict = f": too many, the limit in CI is {MOST_PERCENT:g} %" if _are_too_many(config) else ""
    terminalreporter.line(f"{len(retries)} of the {tests} tests that may be retried needed it ({share}){verdict}")


def _first_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.splitlines()[0] if crash and crash.message else ""
