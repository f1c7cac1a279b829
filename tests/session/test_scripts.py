import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mclu_shell.language.script import read_script
from tests.support.mclu import Answer, InProcess


def test_a_script_runs_line_by_line(demo: InProcess) -> None:
    answer = demo.script("#!/usr/bin/env mclu\n\nstatus ham1 # one\non ham2\nstatus ham2\n")
    assert answer.status == 0
    assert answer.out == "ham1 off\nWaking up 74:d4:35:51:ab:88...\nham2 on\n  total: 8pcpus 30.9G\n  free: 30.9G\n"


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("lst", "mclu: x.mclu:3: unknown command 'lst'; did you mean 'list'?\n"),
        ("status --zzz", "mclu: x.mclu:3: status: unrecognized arguments: --zzz; see 'help status'\n"),
        (
            "on 'a;b'",
            "mclu: x.mclu:3: on: argument NODE: bad node name 'a;b': "
            "use letters, digits, '.', '_', '-' and wildcards; see 'help on'\n",
        ),
        ("status 'ham", "mclu: x.mclu:3: no closing '\n"),
        ("status >", "mclu: x.mclu:3: no file after '>'\n"),
        ("lst > /nosuch/x", "mclu: x.mclu:3: unknown command 'lst'; did you mean 'list'?\n"),
        ("lst | cat", "mclu: x.mclu:3: unknown command 'lst'; did you mean 'list'?\n"),
        ("''", "mclu: x.mclu:3: unknown command ''; see 'help'\n"),
    ],
)
def test_an_error_on_line_3_stops_the_script_before_line_1(demo: InProcess, last: str, message: str) -> None:
    answer = demo.script(f"on ham1\nstatus\n{last}\n")
    assert (answer.status, answer.out, answer.err) == (2, "", message)
    assert demo.on == ["ham0"]


def test_an_error_in_a_script_of_one_line_has_its_line_number(demo: InProcess) -> None:
    assert demo.script("status 'a").err == "mclu: x.mclu:1: no closing '\n"


def test_all_errors_are_reported_at_once(demo: InProcess) -> None:
    answer = demo.script("lst\nstatus\non\n")
    assert answer.status == 2
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["x.mclu:1", "x.mclu:3"]


def test_a_script_stops_at_the_first_failure_with_its_line_and_status(demo: InProcess) -> None:
    answer = demo.script("status ham1\non ham9\nstatus ham2\n")
    assert (answer.status, answer.out) == (1, "ham1 off\n")
    assert answer.err == "mclu: x.mclu:2: no such node 'ham9'; did you mean 'ham0', 'ham1' or 'ham2'?\n"


def test_errors_that_a_command_yields_have_the_line_number(demo: InProcess) -> None:
    error = "cannot switch off: guests db and web are running; shut them down or destroy them first"
    assert demo.script("\noff ham0").err == f"mclu: x.mclu:2: ham0: {error}\n"


def test_keep_going_runs_the_rest_of_a_script_and_returns_1(clouds: Callable[..., InProcess]) -> None:
    answer = clouds(keep_going=True).script("on ham9\nstatus ham2\noff ham0\nstatus ham3\n")
    assert (answer.status, answer.out) == (1, "ham2 off\nham3 off\n")
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["x.mclu:1", "x.mclu:3"]


def test_keep_going_still_checks_the_whole_script_first(clouds: Callable[..., InProcess]) -> None:
    cloud = clouds(keep_going=True)
    assert cloud.script("on ham1\nlst").status == 2
    assert cloud.on == ["ham0"]


@pytest.mark.parametrize("last", ["", "\n"])
def test_the_last_line_needs_no_newline(demo: InProcess, last: str) -> None:
    answer = demo.script("# x\nstatus ham1\nstatus \\\n  ham2\n\nstatus ham3" + last)
    assert (answer.status, answer.out) == (0, "ham1 off\nham2 off\nham3 off\n")


def test_errors_of_a_joined_line_have_the_number_of_its_first_line(demo: InProcess) -> None:
    assert demo.script("\non \\\n  ham9\n").err.startswith("mclu: x.mclu:2: no such node")


def test_help_in_a_script_is_output_and_no_error(demo: InProcess) -> None:
    answer = demo.script("off --help\n")
    assert answer.status == 0
    assert answer.out.startswith("usage: off")


def test_quit_ends_a_script(demo: InProcess) -> None:
    answer = demo.script("status ham1\nexit\nstatus ham2\n")
    assert (answer.status, answer.out) == (0, "ham1 off\n")


def test_an_empty_script_does_nothing(demo: InProcess) -> None:
    answer = demo.script("\n# nothing\n")
    assert (answer.status, answer.out, answer.err) == (0, "", "")


class Files:
    """Scripts in a directory of their own, run by name."""

    def __init__(self, demo: InProcess, directory: Path) -> None:
        self.demo, self.directory = demo, directory

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    def run(self, text: str, *words: str, check: bool = False) -> Answer:
        script = read_script(self.write("x.mclu", text), words)
        session = self.demo.session
        status = session.check_script(script) if check else session.run_script(script)
        answer = self.demo.answer(status)
        return replace(answer, err=answer.err.replace(f"{self.directory}/", ""))


@pytest.fixture
def files(demo: InProcess, tmp_path: Path) -> Files:
    return Files(demo, tmp_path)


class TestArguments:
    def test_an_argument_is_one_word_whatever_its_characters(self, files: Files) -> None:
        answer = files.run('status $1 "$2"\nstatus ${WHICH}\nstatus ham$3', "ham1", "ham2", "WHICH=ham3", "1")
        assert (answer.status, answer.out) == (0, "ham1 off\nham2 off\nham3 off\nham1 off\n")
        answer = files.run("status $1", "ham1; on ham2")
        assert (answer.status, answer.err.splitlines()[0][:29]) == (2, "mclu: x.mclu:1: status: argum")
        assert files.demo.on == ["ham0"]

    def test_all_arguments_and_their_number_can_be_used(self, files: Files) -> None:
        assert files.run("status $@", "ham1", "ham2").out == "ham1 off\nham2 off\n"
        assert files.run('status "$@" ham3', "ham1").out == "ham1 off\nham3 off\n"
        assert files.run("status ham$#", "a", "b", "NAME=c").out == "ham2 off\n"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("status $1", "$1 is not set"),
            ('status "ham${2}"', "${2} is not set"),
            ("status ${NAME}", "${NAME} is not set"),
            ("status $NAME", "$NAME: write ${NAME} for a variable, or '$NAME' for these letters"),
            ("status ${NAME", "no closing }"),
            ("status ham$@", "$@ is part of a word; write it as a word of its own"),
        ],
    )
    def test_an_unset_variable_stops_the_script_before_it_runs(self, files: Files, text: str, message: str) -> None:
        answer = files.run(f"on ham1\n{text}\n")
        assert (answer.status, answer.out, answer.err) == (2, "", f"mclu: x.mclu:2: {message}\n")
        assert files.demo.on == ["ham0"]

    def test_quoted_dollars_and_dollars_without_a_name_are_literal(self, files: Files) -> None:
        for word in ("'$1'", r"\$1", "'${NAME}'"):
            assert "bad node name" in files.run(f"status {word}").err
        assert "bad node name 'a$'" in files.run("status a$").err

    def test_the_users_shell_gets_the_arguments(self, files: Files, capfd: pytest.CaptureFixture[str]) -> None:
        assert files.run('!echo "$2" $# ${NAME}\nstatus ham1 | sed s/off/$1/', "away", "a  b", "NAME=c").status == 0
        assert capfd.readouterr().out == "a  b 2 c\nham1 away\n"


class TestNestedScripts:
    def test_a_script_runs_another_with_its_own_arguments(self, files: Files) -> None:
        inner = files.write("inner.mclu", "status $1\nstatus ${NAME}\n")
        answer = files.run(f"run {inner} ham2 NAME=$1\nstatus ham1", "ham3")
        assert (answer.status, answer.out) == (0, "ham2 off\nham3 off\nham1 off\n")

    def test_errors_in_nested_scripts_are_reported_before_any_line_runs(self, files: Files) -> None:
        inner = files.write("inner.mclu", "status ham1\nlst\non\n")
        answer = files.run(f"on ham1\nrun {inner}\nrun /nosuch.mclu\nrun {files.directory}")
        assert (answer.status, answer.out, files.demo.on) == (2, "", ["ham0"])
        assert [line.split(": ")[1:3] for line in answer.err.splitlines()] == [
            ["inner.mclu:2", "unknown command 'lst'; did you mean 'list'?"],
            ["inner.mclu:3", "on"],
            ["x.mclu:3", "/nosuch.mclu"],
            ["x.mclu:4", str(files.directory)],
        ]

    def test_a_failure_in_a_nested_script_fails_the_line_that_runs_it(self, files: Files) -> None:
        inner = files.write("inner.mclu", "status ham1\non ham9\nstatus ham2")
        answer = files.run(f"run {inner}\nstatus ham3")
        assert (answer.status, answer.out) == (1, "ham1 off\n")
        assert answer.err.startswith("mclu: inner.mclu:2: no such node 'ham9'")

    def test_output_of_a_nested_script_is_redirected_with_its_line(
        self, files: Files, capfd: pytest.CaptureFixture[str]
    ) -> None:
        inner = files.write("inner.mclu", "status ham1\nstatus ham2")
        out = files.directory / "out"
        assert files.run(f"run {inner} > {out}\nrun {inner} | sed s/off/away/\nstatus ham3").out == "ham3 off\n"
        assert (out.read_text(), capfd.readouterr().out) == ("ham1 off\nham2 off\n", "ham1 away\nham2 away\n")

    def test_output_of_programs_in_a_nested_script_is_redirected_with_its_line(
        self, files: Files, capfd: pytest.CaptureFixture[str]
    ) -> None:
        inner = files.write("inner.mclu", "!echo one\nstatus ham1\nstatus ham2 | cat\n!echo two")
        outer = files.write("outer.mclu", f"run {inner}\nrun {inner} | sed s/o/0/")
        out = files.directory / "out"
        assert files.run(f"run {outer} > {out}\n!echo three").status == 0
        assert out.read_text() == "one\nham1 off\nham2 off\ntwo\n0ne\nham1 0ff\nham2 0ff\ntw0\n"
        assert capfd.readouterr().out == "three\n"

    def test_a_program_that_fails_is_named_with_its_line(self, files: Files) -> None:
        for line, message in (
            ("!exit 7", "'exit 7' ended with status 7"),
            ("list | grep nothing", "'grep nothing' ended with status 1"),
            ("!kill -9 $$", "'kill -9 $$' was ended by signal 9"),
            ("!test 'a' = b", "\"test 'a' = b\" ended with status 1"),
        ):
            answer = files.run(f"{line}\nstatus")
            assert (answer.status, answer.out, answer.err) == (1, "", f"mclu: x.mclu:1: {message}\n")
            assert files.run(f"-{line}\nstatus ham1").out == "ham1 off\n"

    def test_a_script_cannot_run_standard_input(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"on ham1")))
        answer = files.run("on ham2\nrun -")
        assert (answer.status, files.demo.on) == (2, ["ham0"])
        assert answer.err == (
            "mclu: x.mclu:2: cannot run stdin within a script: it is not a regular file, "
            "so it cannot be checked first\n"
        )

    def test_a_script_that_runs_itself_is_an_error(self, files: Files) -> None:
        inner = files.write("inner.mclu", f"run {files.directory}/x.mclu")
        answer = files.run(f"on ham1\nrun {inner}")
        assert (answer.status, files.demo.on) == (2, ["ham0"])
        assert answer.err == "mclu: inner.mclu:1: x.mclu runs itself in an endless loop\n"

    def test_errors_in_a_script_that_runs_often_are_reported_once(self, files: Files) -> None:
        for number in range(30):
            files.write(f"{number}.mclu", f"run {files.directory}/{number + 1}.mclu\n" * 2)
        files.write("20.mclu", "status $#\nlst")
        answer = files.run(f"run {files.directory}/0.mclu")
        assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["20.mclu:2"]
        answer = files.run(f"run {files.directory}/20.mclu ham1\nrun {files.directory}/20.mclu ham2")
        assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["20.mclu:2", "20.mclu:2"]

    def test_a_second_use_of_an_invalid_script_is_no_recursion(self, files: Files) -> None:
        inner = files.write("inner.mclu", "status $1")
        answer = files.run(f"run {inner}\nrun {inner} ham1")
        assert answer.err == "mclu: x.mclu:1: inner.mclu:1: $1 is not set\n"

    def test_errors_are_reported_in_the_order_of_their_lines(self, files: Files) -> None:
        inner = files.write("inner.mclu", "lst\nstatus $1")
        answer = files.run(
            f"on ham1\nlst\nstatus $1; on\nstatus |\nrun {inner}\nstatus ${{x\nstatus --x='$2'\nstatus '"
        )
        assert (answer.status, files.demo.on) == (2, ["ham0"])
        assert [line.removeprefix("mclu: ").partition(";")[0] for line in answer.err.splitlines()] == [
            "x.mclu:2: unknown command 'lst'",
            "x.mclu:3: $1 is not set",
            "x.mclu:3: on: the following arguments are required: NODE",
            "x.mclu:4: nothing after '|'",
            "inner.mclu:1: unknown command 'lst'",
            "x.mclu:5: inner.mclu:2: $1 is not set",
            "x.mclu:6: no closing }",
            "x.mclu:7: status: unrecognized arguments: --x=$2",
            "x.mclu:8: no closing '",
        ]

    def test_text_after_an_unclosed_quote_is_not_parsed(self, files: Files) -> None:
        answer = files.run("status $1 'a\nlst\nlst '")
        assert answer.err == "mclu: x.mclu:1: $1 is not set\n"
        answer = files.run("status $1 'a\nlst\nlst")
        assert answer.err == "mclu: x.mclu:1: $1 is not set\nmclu: x.mclu:1: no closing '\n"

    def test_an_argument_of_a_script_may_look_like_an_option(self, files: Files) -> None:
        inner = files.write("inner.mclu", '!echo "$1"')
        assert files.run(f"run {inner} '-x y'").err == ""

    def test_scripts_nested_too_deeply_are_an_error(self, files: Files) -> None:
        for number in range(100):
            files.write(f"{number}.mclu", f"run {files.directory}/{number + 1}.mclu")
        files.write("100.mclu", "status ham1")
        assert files.run(f"run {files.directory}/72.mclu").out == "ham1 off\n"
        answer = files.run(f"on ham1\nrun {files.directory}/0.mclu")
        assert (answer.status, files.demo.on) == (2, ["ham0"])
        assert answer.err == "mclu: 28.mclu:1: 29.mclu is nested too deeply; nest at most 30 scripts\n"


class TestLeadingDash:
    def test_a_failure_after_a_dash_is_reported_and_stops_nothing(self, files: Files) -> None:
        answer = files.run("-on ham9\n- off ham0\n-!false\nstatus ham1")
        assert (answer.status, answer.out) == (0, "ham1 off\n")
        assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["x.mclu:1", "x.mclu:2", "x.mclu:3"]

    def test_an_invalid_command_after_a_dash_is_an_error(self, files: Files) -> None:
        assert files.run("on ham1\n-lst").status == 2
        assert files.run("on ham1\n-\n").err == "mclu: x.mclu:2: no command after '-'\n"
        assert files.demo.on == ["ham0"]


class TestCheck:
    def test_check_runs_no_line(self, files: Files) -> None:
        answer = files.run("on ham1\n!touch $1", "x", check=True)
        assert (answer.status, answer.out, answer.err) == (0, "", "")
        assert files.demo.on == ["ham0"]

    def test_check_reports_all_errors(self, files: Files) -> None:
        answer = files.run("on\nlst", check=True)
        assert (answer.status, len(answer.err.splitlines())) == (2, 2)


def test_a_script_of_100000_lines_is_checked_before_it_runs(files: Files) -> None:
    answer = files.run("status ham1\n" * 50_000 + "# nothing\n" * 50_000 + "lst\n")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("mclu: x.mclu:100001: unknown command 'lst'")
