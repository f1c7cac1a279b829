from collections.abc import Callable

import pytest

from tests.conftest import InProcess


def test_it_runs_line_by_line(demo: InProcess) -> None:
    answer = demo.script("#!/usr/bin/env mclu\n\nstatus ham1 # one\non ham2\nstatus ham2\n")
    assert answer.status == 0
    assert answer.out == "ham1 off\nWaking up 74:d4:35:51:ab:88...\nham2 on\n  total: 8pcpus 30.9G\n  free: 30.9G\n"


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("lst", "mclu: x.mclu:3: unknown command 'lst'; did you mean 'list'?\n"),
        ("status --bogus", "mclu: x.mclu:3: status: unrecognized arguments: --bogus; see 'help status'\n"),
        ("on 'a;b'", "mclu: x.mclu:3: on: argument NODE: bad node name 'a;b'; see 'help on'\n"),
        ("status 'ham", "mclu: x.mclu:3: no closing '\n"),
        ("status >", "mclu: x.mclu:3: no file after '>'\n"),
        ("lst > /nosuch/x", "mclu: x.mclu:3: unknown command 'lst'; did you mean 'list'?\n"),
        ("lst | cat", "mclu: x.mclu:3: unknown command 'lst'; did you mean 'list'?\n"),
        ("''", "mclu: x.mclu:3: unknown command ''; see 'help'\n"),
    ],
)
def test_an_error_on_line_3_means_that_nothing_was_done(demo: InProcess, last: str, told: str) -> None:
    answer = demo.script(f"on ham1\nstatus\n{last}\n")
    assert (answer.status, answer.out, answer.err) == (2, "", told)
    assert demo.on == ["ham0"]


def test_a_script_of_one_line_tells_its_line_too(demo: InProcess) -> None:
    assert demo.script("status 'a").err == "mclu: x.mclu:1: no closing '\n"


def test_all_that_is_wrong_is_told_at_once(demo: InProcess) -> None:
    answer = demo.script("lst\nstatus\non\n")
    assert answer.status == 2
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["x.mclu:1", "x.mclu:3"]


def test_it_stops_at_the_first_failure_with_its_line_and_status(demo: InProcess) -> None:
    answer = demo.script("status ham1\non ham9\nstatus ham2\n")
    assert (answer.status, answer.out) == (1, "ham1 off\n")
    assert answer.err == "mclu: x.mclu:2: no such node 'ham9'; did you mean 'ham3' or 'ham2' or 'ham1'?\n"


def test_errors_that_a_command_yields_have_their_line_too(demo: InProcess) -> None:
    assert demo.script("\noff ham0").err == "mclu: x.mclu:2: ham0: not switched off: guests running: db, web\n"


def test_keep_going_does_the_rest_and_reports_1(clouds: Callable[..., InProcess]) -> None:
    answer = clouds(keep_going=True).script("on ham9\nstatus ham2\noff ham0\nstatus ham3\n")
    assert (answer.status, answer.out) == (1, "ham2 off\nham3 off\n")
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["x.mclu:1", "x.mclu:3"]


def test_keep_going_still_checks_the_whole_first(clouds: Callable[..., InProcess]) -> None:
    cloud = clouds(keep_going=True)
    assert cloud.script("on ham1\nlst").status == 2
    assert cloud.on == ["ham0"]


@pytest.mark.parametrize("last", ["", "\n"])
def test_a_missing_end_of_the_last_line_does_not_matter(demo: InProcess, last: str) -> None:
    answer = demo.script("# x\nstatus ham1\nstatus \\\n  ham2\n\nstatus ham3" + last)
    assert (answer.status, answer.out) == (0, "ham1 off\nham2 off\nham3 off\n")


def test_a_joined_line_is_told_by_its_first(demo: InProcess) -> None:
    assert demo.script("\non \\\n  ham9\n").err.startswith("mclu: x.mclu:2: no such node")


def test_help_among_the_arguments_is_an_answer_and_no_fault(demo: InProcess) -> None:
    answer = demo.script("off --help\n")
    assert answer.status == 0
    assert answer.out.startswith("usage: off")


def test_quit_ends_it(demo: InProcess) -> None:
    answer = demo.script("status ham1\nexit\nstatus ham2\n")
    assert (answer.status, answer.out) == (0, "ham1 off\n")


def test_an_empty_script_does_nothing(demo: InProcess) -> None:
    answer = demo.script("\n# nothing\n")
    assert (answer.status, answer.out, answer.err) == (0, "", "")
