import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell import __version__
from mclu_shell.command_loader import load_command
from mclu_shell.errors import UsageError
from mclu_shell.global_options import global_parser
from tests.support.imports import imported_packages
from tests.support.mclu import MCLU, Answer

Program = Callable[..., Answer]

HAM1_OFF = Answer(0, "ham1 off\n", "")


class TestSources:
    def test_a_command_runs(self, mclu: Program) -> None:
        assert mclu("--demo", "status", "ham1") == HAM1_OFF

    def test_arguments_are_not_parsed_again(self, mclu: Program) -> None:
        assert mclu("--demo", "status", "ham*; quit").status == 2
        assert mclu("--demo", "status", "ham[1]") == HAM1_OFF

    def test_several_c_options_run_in_order(self, mclu: Program) -> None:
        several = mclu("--demo", "-c", "status ham1; status ham2", "-c", "status ham3\nquit", "-c", "lst")
        assert several == Answer(0, "ham1 off\nham2 off\nham3 off\n", "")
        assert mclu("--demo", "-c", "") == Answer(0, "", "")

    def test_a_script_file_runs(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.mclu").write_text("status ham1")
        assert mclu("--demo", "x.mclu") == mclu("--demo", tmp_path / "x.mclu") == HAM1_OFF

    def test_a_script_on_standard_input_runs(self, mclu: Program) -> None:
        assert mclu("--demo", "-", given="status \\\nham1\n") == HAM1_OFF
        assert mclu("--demo", given="status ham1") == HAM1_OFF
        assert (
            mclu("--demo", "-", given="\nstats\n").err
            == "mclu: stdin:2: unknown command 'stats'; did you mean 'status' or 'start'?\n"
        )

    def test_a_script_with_a_byte_order_mark_and_crlf_runs(self, mclu: Program) -> None:
        assert mclu("--demo", "-", given=b"\xef\xbb\xbfstatus \\\r\n  ham1\r\n") == HAM1_OFF

    def test_an_executable_script_runs(self, tmp_path: Path) -> None:
        script = tmp_path / "x.mclu"
        script.write_text("#!/usr/bin/env mclu\nhelp quit\n")
        script.chmod(0o755)
        env = {**os.environ, "PATH": f"{MCLU.parent}:{os.environ['PATH']}"}
        done = subprocess.run([script], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: quit")

    @pytest.mark.parametrize(
        ("line", "status"), [("status", 0), ("off ham0", 1), ("lst", 2), ("status 'a", 2), ("on ham1 --wait=x", 2)]
    )
    def test_a_line_has_the_same_result_from_every_source(
        self, mclu: Program, tmp_path: Path, line: str, status: int
    ) -> None:
        (tmp_path / "x.mclu").write_text(line)
        answers = [mclu("--demo", "-c", line), mclu("--demo", "x.mclu"), mclu("--demo", "-", given=line)]
        if "'" not in line:
            answers.append(mclu("--demo", *line.split()))
        message = {(answer.status, answer.out, re.sub(r"^mclu: \S+:1: ", "mclu: ", answer.err)) for answer in answers}
        assert len(message) == 1
        assert message.pop()[0] == status


class TestOptions:
    def test_version_is_printed(self, mclu: Program) -> None:
        assert mclu("--version") == mclu("-V") == Answer(0, f"mclu {__version__}\n", "")

    def test_help_lists_the_options(self, mclu: Program) -> None:
        answer = mclu("--help")
        assert answer == mclu("-h")
        assert answer.status == 0
        assert "mclu help" in answer.out
        for option in ("--config-file", "--verbose", "--version", "--help", "-c", "--keep-going", "--demo", "--color"):
            assert option in answer.out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--bogus"], "unrecognized arguments: --bogus"),
            (["--dem", "status"], "unrecognized arguments: --dem"),
            (["-c"], "argument -c: expected one argument"),
            (["--color", "blue", "status"], "argument --color: invalid choice: 'blue'"),
            (
                ["--install-completion", "tcsh"],
                "argument --install-completion: invalid choice: 'tcsh' (choose from 'bash', 'zsh', 'fish')",
            ),
            (["-c", "status", "list"], "use either -c or a command, not both: 'list'"),
            (["lst"], "unknown command 'lst'; did you mean 'list'?"),
            ([""], "unknown command ''"),
            (["status", "--bogus"], "status: unrecognized arguments: --bogus"),
            (["status", "--bogus=a b"], "status: unrecognized arguments: --bogus=a b"),
            (
                ["status", "-", "-x y"],
                "status: unrecognized arguments: -x y; write '--' before text that begins with '-'",
            ),
            (["status", "--", "-x y"], "status: argument NODE: bad node name '-x y'"),
            (["nosuch.mclu"], "nosuch.mclu: cannot read: No such file or directory"),
            (["-f", "/nosuch", "status"], "/nosuch: no configuration"),
        ],
    )
    def test_bad_options_are_usage_errors(self, mclu: Program, words: list[str], message: str) -> None:
        answer = mclu(*words)
        assert (answer.status, answer.out) == (2, "")
        assert answer.err.startswith(f"mclu: {message}")
        assert answer.err.count("\n") == 1

    def test_a_script_that_is_not_text_is_reported(self, mclu: Program) -> None:
        assert mclu("--demo", "-", given=b"status \xff") == Answer(2, "", "mclu: stdin: not a text file\n")

    def test_an_option_after_the_command_has_its_place_as_remedy(self, mclu: Program) -> None:
        message = mclu("--demo", "destroy", "web", "--dry-run").err
        assert message.endswith("unrecognized arguments: --dry-run; write it before the command: 'mclu --dry-run …'\n")
        parser = load_command("status").parser()
        for option in set(global_parser().option_names) - {"-h", "--help"}:
            with pytest.raises(UsageError, match=f"; write it before the command: 'mclu {option} …'$"):
                parser.parse([option + ("=x" if option.startswith("--") else "")])

    def test_options_after_the_command_belong_to_the_command(self, mclu: Program) -> None:
        assert mclu("--demo", "status", "-h").out.startswith("usage: status")

    def test_keep_going_runs_the_remaining_lines(self, mclu: Program) -> None:
        answer = mclu("--demo", "-k", "-c", "lst; status ham1")
        assert (answer.status, answer.out) == (1, "ham1 off\n")

    def test_verbose_logs_each_remote_call_with_its_duration_on_stderr(self, mclu: Program) -> None:
        answer = mclu("--demo", "-v", "status", "ham0")
        assert answer.out.startswith("ham0 on\n")
        assert re.search(r"mclu: debug: ham0: libvirt getInfo: \d+\.\d ms\n", answer.err)

    def test_configuration_errors_have_file_and_line(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.conf").write_text("[nodes]\nham0 mac=1\n")
        message = "mclu: x.conf:2: bad mac '1': must be of the form 74:d4:35:51:ab:86\n"
        assert mclu("-f", "x.conf", "status") == Answer(2, "", message)
        assert mclu("status", env={"MCLU_CONFIG": "x.conf"}) == Answer(2, "", message)

    def test_a_configuration_without_nodes_is_an_error(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.conf").write_text("[nodes]\n")
        answer = mclu("-f", "x.conf", "status")
        assert (answer.status, answer.out) == (2, "")
        assert answer.err.startswith("mclu: x.conf: no nodes; ")

    def test_colour_is_for_terminals_unless_forced(self, mclu: Program) -> None:
        assert "\x1b" not in mclu("--demo", "status").out
        assert "ham1 \x1b[2moff\x1b[0m\n" in mclu("--demo", "--color=always", "status").out
        assert mclu("--demo", "--color=always", "lst", env={"NO_COLOR": "1"}).err.startswith("\x1b[31mmclu: ")


class TestStreams:
    @pytest.mark.parametrize("words", [["--version"], ["--help"], ["--demo", "status"], ["--demo", "help"]])
    def test_output_that_cannot_be_written_is_an_error(self, mclu: Program, words: list[str]) -> None:
        with open("/dev/full", "w") as full:  # noqa: PTH123
            answer = mclu(*words, stdout=full)
        assert answer == Answer(1, "", "mclu: cannot write the answer: No space left on device\n")

    @pytest.mark.parametrize(
        ("words", "status"),
        [(["--version"], 0), (["--help"], 0), (["--demo", "status"], 141), (["--demo", "help"], 141)],
    )
    def test_mclu_ends_silently_on_a_closed_pipe(self, mclu: Program, words: list[str], status: int) -> None:
        theirs, ours = os.pipe()
        os.close(theirs)
        assert mclu(*words, stdout=ours) == Answer(status, "", "")
        os.close(ours)

    @pytest.mark.parametrize(
        ("closed", "words", "status"),
        [
            ("<&-", "--demo", 0),
            ("<&-", "--demo status", 0),
            (">&-", "--demo status", 1),
            (">&-", "--version", 1),
            ("2>&-", "--demo lst", 2),
            ("2>&-", "--bogus", 2),
            ("<&- >&- 2>&-", "--demo status", 1),
            ("2>/dev/full", "--demo lst", 2),
            ("2>/dev/full", "--bogus", 2),
        ],
    )
    def test_closed_streams_cause_no_internal_error(self, tmp_path: Path, closed: str, words: str, status: int) -> None:
        command = f"exec {MCLU} {words} {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr

    @pytest.mark.parametrize("words", [["--help"], ["--demo", "status", "hä*"]])
    def test_an_encoding_without_a_character_causes_no_traceback(self, mclu: Program, words: list[str]) -> None:
        answer = mclu(*words, env={"PYTHONIOENCODING": "ascii"})
        assert answer.status in (0, 2)
        assert "Traceback" not in answer.err

    def test_a_missing_directory_for_sockets_is_reported(self, mclu: Program) -> None:
        answer = mclu("--demo", "status", env={"XDG_RUNTIME_DIR": "/proc"})
        assert answer.status == 1
        assert answer.err.startswith("mclu: /proc: cannot create a directory for sockets: ")


class TestNodes:
    def test_a_node_that_hangs_up_during_the_login_is_reported(self, mclu: Program, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            (tmp_path / "x.conf").write_text(f"[nodes]\nham0 address=127.0.0.1 port={listener.getsockname()[1]}\n")

            def greet() -> None:
                # First paramiko connects, then ssh.
                for _ in range(2):
                    connection, _address = listener.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                        # Unread data at close would reset the connection.
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(4096):
                            pass

            threading.Thread(target=greet, daemon=True).start()
            answer = mclu("-f", str(tmp_path / "x.conf"), "status", "ham0")
        assert re.fullmatch(r"ham0 on, ssh: Connection closed by 127\.0\.0\.1 port \d+\n", answer.out), answer


class TestSignals:
    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
    def test_a_signal_ends_mclu_at_once_without_leftovers(
        self, tmp_path: Path, short_directory: Path, off_settings: str, number: signal.Signals, status: int
    ) -> None:
        (tmp_path / "x.conf").write_text(f"[nodes]\nsilent {off_settings}\n")
        command = [str(MCLU), "-f", str(tmp_path / "x.conf"), "on", "silent", "--wait"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(short_directory)},
        ) as program:  # fmt: skip
            assert program.stdout
            try:
                assert program.stdout.readline().startswith("Waking up")
                assert list(short_directory.iterdir())
                program.send_signal(number)
                out, err = program.communicate(timeout=5)
            finally:
                program.kill()
        assert (program.returncode, out, err) == (status, "", "")
        assert list(short_directory.iterdir()) == []

    def test_an_ignored_signal_does_not_end_mclu(self) -> None:
        command = f"trap '' HUP; exec {MCLU} --demo -c '!kill -HUP $PPID' -c 'status ham1'"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ham1 off\n", "")

    def test_a_successful_command_leaves_no_files(self, mclu: Program, short_directory: Path) -> None:
        assert mclu("--demo", "status", env={"XDG_RUNTIME_DIR": str(short_directory)}).status == 0
        assert list(short_directory.iterdir()) == []


class TestImports:
    def test_the_version_option_imports_no_large_library(self) -> None:
        loaded = imported_packages("--version")
        assert "mclu_shell" in loaded
        assert not loaded & {"paramiko", "libvirt", "libvirtmod", "cmd2", "prompt_toolkit", "rich", "wakeonlan"}

    @pytest.mark.parametrize("words", [["status"], ["list"], ["-c", "status; on ham1 --wait; off ham1"], ["help"]])
    def test_one_shots_do_not_import_the_shell(self, words: list[str]) -> None:
        loaded = imported_packages("--demo", *words)
        assert "mclu_shell" in loaded
        assert not loaded & {"cmd2", "prompt_toolkit", "rich"}

    def test_status_does_not_wait_for_dataclasses(self) -> None:
        assert not imported_packages("--demo", "status") & {"dataclasses", "inspect"}


def test_the_program_is_installed_as_mclu() -> None:
    assert shutil.which(MCLU)
