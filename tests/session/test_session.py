import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.errors import ConfigError
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.session.exit_status import READER_GONE
from mclu_shell.session.session import Session
from tests.support.faults import interrupt_when, unwritable
from tests.support.mclu import InProcess

MESSAGE = re.compile(r"mclu: (.+: )?[^:;]+.*\n")


class TestExitStatus:
    @pytest.mark.parametrize(
        ("line", "status"),
        [
            ("", 0),
            ("# nothing", 0),
            ("status", 0),
            ("status ham1", 0),
            ("on ham9", 1),
            ("off ham0", 1),
            ("lst", 2),
            ("''", 2),
            ("status --bogus", 2),
            ("status 'a", 2),
            ("help nosuch", 2),
            ("list --active --all", 2),
            ("on", 2),
            ("on 'a;b'", 2),
        ],
    )
    def test_the_status_is_0_for_success_1_for_failure_and_2_for_bad_usage(
        self, demo: InProcess, line: str, status: int
    ) -> None:
        answer = demo(line)
        assert answer.status == status
        assert bool(answer.err) == bool(status)
        if status:
            assert MESSAGE.fullmatch(answer.err)

    def test_one_failing_node_makes_the_status_1(self, clouds: Callable[..., InProcess], closed_port: int) -> None:
        cloud = clouds(f"[nodes]\ngood via=local uri=test:///default\nbad address=127.0.0.1 port={closed_port}")
        answer = cloud("status")
        assert answer.status == 1
        assert "good on\n" in answer.out

    def test_a_bad_configuration_has_status_2(self) -> None:
        def broken() -> Cloud:
            raise ConfigError("unknown key 'x'", place="mclu.conf:3")

        assert Session(broken, Renderer()).run_text("status") == 2

    def test_help_needs_no_configuration(self, capsys: pytest.CaptureFixture[str]) -> None:
        def broken() -> Cloud:
            raise AssertionError

        session = Session(broken, Renderer())
        assert session.run_text("help; help off; status --help") == 0
        assert "Switch nodes off cleanly" in capsys.readouterr().out

    def test_an_interrupt_has_status_130_and_skips_the_remaining_lines(
        self, clouds: Callable[..., InProcess], off_settings: str
    ) -> None:
        cloud = clouds(f"[nodes]\nsilent {off_settings}", keep_going=True)
        # The signal arrives after the command's first output, before it waits.
        interrupt_when(lambda: "Waking up" in cloud.output)
        started = time.monotonic()
        answer = cloud("on silent --wait; list")
        assert answer.status == 130
        assert answer.out == "Waking up 74:d4:35:51:ab:86...\n"
        assert answer.err == ""
        assert time.monotonic() - started < 10


class TestSeveralLines:
    def test_lines_stop_at_the_first_failure_with_its_status(self, demo: InProcess) -> None:
        answer = demo("status ham1; on ham9; status ham2")
        assert (answer.status, answer.out) == (1, "ham1 off\n")
        assert demo("status ham1; lst; status ham2").status == 2

    def test_keep_going_runs_all_lines_and_returns_1(self, clouds: Callable[..., InProcess]) -> None:
        answer = clouds(keep_going=True)("status ham1; lst; status ham2")
        assert (answer.status, answer.out) == (1, "ham1 off\nham2 off\n")

    def test_quit_skips_the_remaining_lines(self, demo: InProcess) -> None:
        answer = demo("status ham1; quit; lst")
        assert (answer.status, answer.out, answer.err) == (0, "ham1 off\n", "")
        assert demo.session.has_quit

    def test_arguments_do_not_leak_into_the_next_line_of_the_same_command(self, demo: InProcess) -> None:
        alone = demo("list --inactive"), demo("list --bogus"), demo("status")
        demo("list --active; status ham1; list -- x; boot tiny web --memory 1G; boot tiny web --size 1G")
        assert (demo("list --inactive"), demo("list --bogus"), demo("status")) == alone

    def test_quit_does_not_hide_an_earlier_failure(self, clouds: Callable[..., InProcess]) -> None:
        assert clouds(keep_going=True)("lst; quit").status == 1


class TestMessages:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("lst", "mclu: unknown command 'lst'; did you mean 'list'?\n"),
            ("zzz", "mclu: unknown command 'zzz'; see 'help'\n"),
            ("on ham9", "mclu: no such node 'ham9'; did you mean 'ham0', 'ham1' or 'ham2'?\n"),
            ("on 'web*'", "mclu: no node matches 'web*'; there are ham0, ham1, ham2, ham3\n"),
            (
                "off ham0",
                "mclu: ham0: cannot switch off: guests db and web are running; "
                "shut them down or destroy them first\n",
            ),
            ("list --templates x", "mclu: list: unrecognized arguments: x; see 'help list'\n"),
            ("list --activ", "mclu: list: unrecognized arguments: --activ; did you mean '--active' or '--inactive'?\n"),
            ("on ham1 --wait=soon", "mclu: on: argument --wait: bad duration 'soon': write a number of seconds, or "
             "a value such as 30s, 5m or 1h; see 'help on'\n"),
            ("status 'a", "mclu: no closing '\n"),
            ("status\nstatus 'a", "mclu: line 2: no closing '\n"),
        ],
    )  # fmt: skip
    def test_an_error_is_one_line_with_place_fact_and_remedy(self, demo: InProcess, line: str, message: str) -> None:
        assert demo(line).err == message

    def test_a_defect_shows_a_traceback_only_with_verbose(self, capsys: pytest.CaptureFixture[str]) -> None:
        def broken() -> Cloud:
            raise ZeroDivisionError("boom")

        assert Session(broken, Renderer()).run_text("status") == 1
        message = capsys.readouterr().err
        assert message.startswith("mclu: internal error: ZeroDivisionError('boom'); run mclu with -v for a traceback")
        assert "Traceback" not in message
        assert Session(broken, Renderer(), verbose=True).run_text("status") == 1
        assert "Traceback" in capsys.readouterr().err

    def test_an_os_error_is_not_reported_as_one_of_the_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        def broken() -> Cloud:
            raise FileNotFoundError(2, "No such file or directory")

        assert Session(broken, Renderer()).run_text("status") == 1
        assert "cannot write the answer" not in capsys.readouterr().err

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(alphabet="abstuonlifhm019 *?[];#'\"\\-=.:", max_size=25))
    def test_no_line_causes_an_internal_error(self, demo: InProcess, line: str) -> None:
        answer = demo(line)
        assert answer.status in (0, 1, 2)
        assert "defect" not in answer.err


class TestRedirection:
    def test_output_goes_to_the_file_and_errors_do_not(self, demo: InProcess, tmp_path: Path) -> None:
        file = tmp_path / "a b"
        file.write_text("old\n")
        answer = demo(f"on ham1 > '{file}'")
        assert (answer.status, answer.out, answer.err) == (0, "", "")
        assert file.read_text() == "Waking up 74:d4:35:51:ab:87...\n"
        answer = demo(f"off ham0 > '{file}'")
        assert (answer.status, file.read_text()) == (1, "")
        assert "cannot switch off" in answer.err

    def test_two_angle_brackets_append(self, demo: InProcess, tmp_path: Path) -> None:
        file = tmp_path / "x"
        assert demo(f"status ham1 >>{file}; status ham2 >> {file}").status == 0
        assert file.read_text() == "ham1 off\nham2 off\n"

    def test_a_tilde_in_the_file_name_is_expanded(self, demo: InProcess, tmp_path: Path) -> None:
        assert demo("status ham1 > ~/at-home").status == 0
        assert (tmp_path / "at-home").read_text() == "ham1 off\n"

    @pytest.mark.parametrize(
        ("file", "reason"),
        [
            ("/nosuch/x", "No such file or directory"),
            ("/", "Is a directory"),
            ("/dev/full", "No space left on device"),
        ],
    )
    def test_a_file_that_cannot_be_written_is_reported(self, demo: InProcess, file: str, reason: str) -> None:
        answer = demo(f"status > {file}")
        assert (answer.status, answer.err) == (1, f"mclu: {file}: cannot write: {reason}\n")

    def test_a_mistyped_command_does_not_change_the_file(self, demo: InProcess, tmp_path: Path) -> None:
        file = tmp_path / "x"
        file.write_text("old\n")
        assert demo(f"lst > {file}").status == 2
        assert demo(f"list --bogus > {file}").status == 2
        assert file.read_text() == "old\n"


class TestPipe:
    def test_output_goes_through_the_users_shell(self, demo: InProcess, tmp_path: Path) -> None:
        answer = demo(f"status | grep off | tr a-z A-Z > {tmp_path}/x")
        assert (answer.status, answer.out) == (0, "")
        assert (tmp_path / "x").read_text() == "HAM1 OFF\nHAM2 OFF\nHAM3 OFF\n"

    def test_a_pipe_fails_if_either_side_fails(self, demo: InProcess) -> None:
        assert demo("status | cat >/dev/null; status | grep -q nosuch").status == 1
        assert demo("on ham9 | cat").status == 1
        assert demo("lst | cat").status == 2

    @pytest.mark.parametrize("reader", ["false", "cat >/dev/null; false", "nosuch-program 2>/dev/null"])
    def test_a_failing_reader_fails_the_line_even_if_it_reads_nothing(self, demo: InProcess, reader: str) -> None:
        assert {demo(f"status | sh -c '{reader}'").status for _ in range(10)} == {1}

    @pytest.mark.parametrize("reader", ["true", "head -1 >/dev/null"])
    def test_a_reader_that_stops_early_is_no_error(self, demo: InProcess, reader: str) -> None:
        answers = [demo(f"status | {reader}") for _ in range(10)]
        assert {(answer.status, answer.err) for answer in answers} == {(0, "")}


class TestUsersShell:
    def test_a_failing_shell_command_skips_the_next_line(self, demo: InProcess, tmp_path: Path) -> None:
        assert demo(f"!echo 'a; b' > {tmp_path}/x\nstatus ham1").out == "ham1 off\n"
        assert (tmp_path / "x").read_text() == "a; b\n"
        answer = demo("!exit 3\nstatus ham1")
        assert (answer.status, answer.out) == (1, "")


class TestStreams:
    def test_no_command_runs_after_the_reader_is_gone(self, demo: InProcess) -> None:
        with unwritable("pipe") as out:
            assert Session(lambda: demo.cloud, Renderer(out=out)).run_text("status; destroy --yes web") == READER_GONE
        assert "ham0:web" in demo("list").out

    @pytest.mark.parametrize(("kind", "status"), [("pipe", READER_GONE), ("full", 1)])
    def test_a_command_makes_all_its_changes_without_its_output(
        self, demo: InProcess, kind: str, status: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with unwritable(kind) as out:
            session = Session(lambda: demo.cloud, Renderer(out=out))
            assert session.run_text("shutdown web db; start web") == status
            assert session.run_text("on ham1 ham2 nosuch", "on ham3") == 1
            assert session.run_text("on ham1 ham2 ham3; off ham1") == status
        assert demo("list --inactive").out.count("shut off") == 2
        assert demo.on == ["ham0", "ham1", "ham2", "ham3"]
        assert "no such node 'nosuch'" in capsys.readouterr().err

    def test_a_failed_change_counts_although_the_reader_is_gone(self, demo: InProcess) -> None:
        assert demo("shutdown web").status == 0
        assert demo("start web db | true").status == 1
        assert demo("start web db | true").err.count("is already running") == 2

    def test_a_full_disk_is_reported(self, demo: InProcess, capsys: pytest.CaptureFixture[str]) -> None:
        with unwritable("full") as out:
            assert Session(lambda: demo.cloud, Renderer(out=out)).run_text("status") == 1
        assert capsys.readouterr().err == "mclu: cannot write the answer: No space left on device\n"

    @pytest.mark.parametrize("kind", ["full", "pipe"])
    @pytest.mark.parametrize("line", ["lst", "status 'a", "off ham9; list"])
    def test_errors_that_cannot_be_printed_still_set_the_status(self, demo: InProcess, line: str, kind: str) -> None:
        with unwritable(kind) as err:
            assert Session(lambda: demo.cloud, Renderer(err=err)).run_text(line) == demo(line).status != 0
