"""Commands for login shells, run by each shell of this machine."""

import shutil
import subprocess

import pytest

from mclu_shell.cloud.transport.process import Completed
from mclu_shell.cloud.transport.ssh.shell_command import LOADER, ShellCommand
from mclu_shell.errors import CommandsRefused
from tests.support.ssh_target import make_target

SHELLS = [shell for shell in ("sh", "dash", "bash", "rbash", "zsh", "fish", "tcsh") if shutil.which(shell)]
ODD = [
    "a b",
    "it's",
    '"',
    "\\",
    "\\n",
    "%d %b",
    "!x",
    "$HOME",
    "`id`",
    "*",
    "~",
    "",
    "ü",
    "line\nbreak",
    "-n",
    "\\0134",
]


def run(shell: str, command: ShellCommand, *, before: str = "") -> Completed:
    """Run a command as sshd does, after a start-up file that does `before`."""
    words = [shell, "-c", f"{before}{LOADER}"]
    done = subprocess.run(words, input=command.line, capture_output=True, check=False)
    return command.completed(make_target(), done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
class TestEachShell:
    def test_arguments_arrive_unchanged(self, shell: str) -> None:
        completed = run(shell, ShellCommand(["printf", "%s\\0", *ODD]))
        assert completed.out.split("\0")[:-1] == ODD

    def test_a_script_gets_its_arguments_and_reads_the_rest_of_stdin(self, shell: str) -> None:
        command = ShellCommand(["sh", "-c", 'for each; do\n  echo "<$each>"\ndone\ncat; exit 7', "name", "a b", "\\"])
        done = subprocess.run([shell, "-c", LOADER], input=command.line + b"rest", capture_output=True, check=False)
        completed = command.completed(make_target(), done.returncode, done.stdout, done.stderr)
        assert completed == Completed(7, "<a b>\n<\\>\nrest", "")

    def test_the_output_of_start_up_files_is_left_out(self, shell: str) -> None:
        before = "echo noise; " if shell == "tcsh" else "echo noise; echo noise >&2; "
        completed = run(shell, ShellCommand(["sh", "-c", "echo out; echo err >&2"]), before=before)
        assert completed == Completed(0, "out\n", "err\n")

    def test_a_shell_that_exits_first_is_reported_with_its_words(self, shell: str) -> None:
        if shell == "tcsh":
            pytest.skip("tcsh -c continues after exit; its start-up file is tested on a node")
        with pytest.raises(CommandsRefused) as caught:
            run(shell, ShellCommand(["true"]), before="echo 'not today.'; exit; ")
        assert str(caught.value).startswith("ham0: cannot run commands: not today; check the login shell of root")


def test_a_shell_without_a_word_is_reported_with_its_exit_status() -> None:
    with pytest.raises(CommandsRefused) as caught:
        run("sh", ShellCommand(["true"]), before="exit 3; ")
    assert caught.value.fact == "cannot run commands: the login shell ended with exit status 3"


def test_the_end_of_the_connection_is_not_a_refusal() -> None:
    assert ShellCommand(["poweroff"]).completed(make_target(), -1, b"", b"") == Completed(-1, "", "")
