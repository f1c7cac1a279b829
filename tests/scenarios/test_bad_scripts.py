"""Unreadable scripts, interrupts, closed pipes and full disks: one clear error line each."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mclu import MCLU, Answer

Program = Callable[..., Answer]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Provide a function that writes a script into the working directory of `mclu` and returns its name."""

    def write(*lines: str, name: str = "x.mclu", end: str = "\n") -> str:
        (tmp_path / name).write_bytes("".join(line + end for line in lines).encode())
        return name

    return write


class TestInvalidFiles:
    def test_a_directory_is_not_a_script(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.mclu").mkdir()
        message = Answer(2, "", "mclu: x.mclu: cannot read: Is a directory\n")
        assert mclu("--demo", "x.mclu") == mclu("--check", "x.mclu") == message

    @pytest.mark.parametrize("data", [b"\x7fELF\x02\x01\0\0status\n", b"status ham1\n\0", b"status h\xe4m\n"])
    def test_binary_files_and_other_encodings_are_refused(self, mclu: Program, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x.mclu").write_bytes(data)
        assert mclu("--demo", "x.mclu") == Answer(2, "", "mclu: x.mclu: not a text file\n")

    def test_a_missing_script_is_an_error(self, mclu: Program) -> None:
        assert mclu("--check", "x.mclu") == Answer(2, "", "mclu: x.mclu: cannot read: No such file or directory\n")

    def test_a_fifo_runs_as_a_script_but_not_within_a_script(
        self, mclu: Program, write: Callable[..., str], tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        with subprocess.Popen(["sh", "-c", "echo status ham1 | tee pipe pipe2 >pipe"], cwd=tmp_path) as writer:
            assert mclu("--demo", "./pipe").out.startswith("ham1 off\n")
            writer.kill()
        with subprocess.Popen(["sh", "-c", "echo status ham1 >pipe"], cwd=tmp_path):
            problem = "it is not a regular file, so it cannot be checked first"
            message = f"mclu: x.mclu:2: cannot run pipe within a script: {problem}\n"
            assert mclu("--demo", write("status ham1", "run pipe")) == Answer(2, "", message)


class TestUnusualFiles:
    def test_crlf_and_a_missing_last_newline_do_not_matter(self, mclu: Program, write: Callable[..., str]) -> None:
        lines = ("# x", "status 'ham1' # y", "status \\", "  ham2", "", "-on ham9", "status ham3 | sed s/off/away/")
        expected = mclu("--demo", write(*lines))
        assert (expected.status, expected.out) == (0, "ham1 off\nham2 off\nham3 away\n")
        assert mclu("--demo", write(*lines, end="\r\n")) == expected
        assert mclu("--demo", write("\r\n".join(lines), end="")) == expected

    def test_a_script_of_100000_lines_is_checked_and_run(self, mclu: Program, write: Callable[..., str]) -> None:
        big = write(*["status ham1 > /dev/null"] * 50_000, *["# nothing"] * 49_999, "lst")
        message = "mclu: x.mclu:100000: unknown command 'lst'; did you mean 'list'?\n"
        assert mclu("--demo", big) == mclu("--check", big) == Answer(2, "", message)
        assert mclu("--demo", write("status ham1", "quit", *["status"] * 99_998)) == Answer(0, "ham1 off\n", "")


@pytest.fixture
def silent_node(tmp_path: Path, off_settings: str) -> None:
    """Configure a node that never answers."""
    (tmp_path / "x.conf").write_text(f"[nodes]\nsilent {off_settings}\n")


@pytest.mark.usefixtures("silent_node")
class TestInterrupts:
    def interrupted(self, directory: Path, *words: str, by: signal.Signals = signal.SIGINT) -> Answer:
        """Return the answer of mclu after a signal while it waits for the node."""
        with subprocess.Popen(
            [MCLU, "-f", "x.conf", *words], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout
            out = ""
            try:
                while "Waking up" not in out and (line := program.stdout.readline()):
                    out += line
                program.send_signal(by)
                rest, err = program.communicate(timeout=10)
            finally:
                program.kill()
        return Answer(program.returncode, out + rest, err)

    @pytest.mark.parametrize("options", [[], ["-k"]])
    def test_an_interrupt_reports_the_line_and_the_numbers_of_commands(
        self, tmp_path: Path, write: Callable[..., str], options: list[str]
    ) -> None:
        lines = [f"!echo {number}" for number in range(1, 21)]
        lines[6] = "-on silent --wait"
        answer = self.interrupted(tmp_path, *options, write(*lines))
        assert answer.status == 130
        assert answer.out == "1\n2\n3\n4\n5\n6\nWaking up 74:d4:35:51:ab:86...\n"
        assert answer.err == "mclu: x.mclu:7: interrupted; commands run: 6, not started: 13\n"

    @pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
    def test_other_signals_are_reported_like_ctrl_c(
        self, tmp_path: Path, write: Callable[..., str], by: signal.Signals
    ) -> None:
        answer = self.interrupted(tmp_path, "-k", write("!echo 1", "-on silent --wait", "!echo 3"), by=by)
        assert (answer.status, answer.out) == (128 + by, "1\nWaking up 74:d4:35:51:ab:86...\n")
        assert answer.err == "mclu: x.mclu:2: interrupted; commands run: 1, not started: 1\n"

    def test_an_interrupt_in_a_nested_script_is_reported_for_both_scripts(
        self, tmp_path: Path, write: Callable[..., str]
    ) -> None:
        write("!echo inner", "on silent --wait", name="inner.mclu")
        answer = self.interrupted(tmp_path, write("!echo outer", "run inner.mclu", "!echo never"))
        assert (answer.status, answer.out) == (130, "outer\ninner\nWaking up 74:d4:35:51:ab:86...\n")
        assert answer.err.splitlines() == [
            "mclu: inner.mclu:2: interrupted; commands run: 1, not started: 0",
            "mclu: x.mclu:2: interrupted; commands run: 1, not started: 1",
        ]


class TestUnwritableOutput:
    @pytest.mark.parametrize("options", [[], ["-k"]])
    def test_no_command_runs_after_the_reader_is_gone(
        self, mclu: Program, write: Callable[..., str], tmp_path: Path, options: list[str]
    ) -> None:
        theirs, ours = os.pipe()
        os.close(theirs)
        script = write("on ham1 > /dev/null", "-status", "!touch was-run")
        assert mclu("--demo", *options, script, stdout=ours) == Answer(141, "", "")
        os.close(ours)
        assert not (tmp_path / "was-run").exists()

    def test_a_full_disk_stops_the_script_at_that_line(
        self, mclu: Program, write: Callable[..., str], tmp_path: Path
    ) -> None:
        script = write("on ham1 > /dev/null", "status", "!touch was-run")
        with open("/dev/full", "w") as full:  # noqa: PTH123
            answer = mclu("--demo", script, stdout=full)
        assert answer == Answer(1, "", "mclu: x.mclu:2: cannot write the answer: No space left on device\n")
        message = "mclu: x.mclu:1: /dev/full: cannot write: No space left on device\n"
        assert mclu("--demo", write("status > /dev/full", "!touch was-run")) == Answer(1, "", message)
        assert not (tmp_path / "was-run").exists()
