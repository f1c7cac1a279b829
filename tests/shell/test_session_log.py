"""`history --script`: the commands of a session as a script that runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.shell.history import ShellHistory, history_path
from tests.shell.terminal import CTRL_C, ENTER, Terminal
from tests.support.mclu import Answer


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run shells in a directory of their own, to separate their files from those that the script writes."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


def script(shell: Terminal, tmp_path: Path, *words: str) -> list[str]:
    """Return the lines of the script after the first; it is also in `x.mclu`."""
    # Only `answer` recognizes the end of a line that was typed before.
    shell.answer(" ".join(["history --script", *words, "> ~/x.mclu"]))
    first, *lines = (tmp_path / "x.mclu").read_text().splitlines()
    assert first == "#!/usr/bin/env mclu"
    return lines


def test_the_script_repeats_the_session(shell: Terminal, tmp_path: Path, mclu: Callable[..., Answer]) -> None:
    ShellHistory(history_path()).store_string("status of another shell")
    shell.run("alias up='on ham1 --wait'")
    shell.run("up; status 'ham1' | tr a-z A-Z # loud")
    shell.run("help quit")
    shell.run("-on ham9; status ham2 >'my file'")
    shell.run("!echo '$HOME' it\\'s $((6 * 7)); echo b")
    shell.run(" status ham3")
    shell.run("history")
    shell.run("up")
    shell.run("status ham2 > 'my $1'")
    assert script(shell, tmp_path) == [
        "on ham1 --wait",
        "status ham1 | tr a-z A-Z # loud",
        "-on ham9",
        "status ham2 > 'my file'",
        "!echo '$HOME' it\\'s $((6 * 7)); echo b",
        "on ham1 --wait",
        "status ham2 > 'my $1'",
    ]
    assert script(shell, tmp_path, "2") == ["on ham1 --wait", "status ham2 > 'my $1'"]
    assert script(shell, tmp_path, "tr", "ham1") == ["status ham1 | tr a-z A-Z # loud"]
    script(shell, tmp_path)
    assert mclu("--check", tmp_path / "x.mclu") == Answer(0, "", "")
    answer = mclu("--demo", tmp_path / "x.mclu", "argument")
    assert answer.status == 0
    waking = "Waking up 74:d4:35:51:ab:87...\nham1 on\n"
    loud = "HAM1 ON\n  TOTAL: 8PCPUS 30.9G\n  FREE: 30.9G\n"
    assert answer.out == f"{waking}{loud}$HOME it's 42\nb\n{waking}"
    assert (tmp_path / "my file").read_text() == (tmp_path / "my $1").read_text() == "ham2 off\n"


def test_failed_declined_and_interrupted_commands_are_comments(
    shell: Terminal, tmp_path: Path, mclu: Callable[..., Answer]
) -> None:
    shell.run("status ham1; on ham9; status ham3")
    shell.run("lst")
    shell.type("destroy web" + ENTER)
    shell.expect(r"Destroy it\? \[y/N\]")
    shell.type("n" + ENTER)
    shell.expect(r"Nothing was destroyed\.\nmclu>\Z")
    shell.type("destroy db" + ENTER)
    shell.expect(r"Destroy it\? \[y/N\](?s:.*)Destroy it\? \[y/N\]")
    shell.type("y" + ENTER)
    shell.expect(r"db destroyed\nmclu>\Z")
    shell.type("status | cat; !cat" + ENTER)
    shell.expect_echo("x")
    shell.type(CTRL_C)
    shell.expect(r"\^C\n+mclu>\Z")
    shell.type("\x1b[200~status ham1 'x\ny'\x1b[201~" + ENTER)
    shell.expect(r"bad node name(?s:.*)mclu>\Z")
    assert script(shell, tmp_path) == [
        "status ham1",
        "# failed: on ham9",
        "# failed: lst",
        "# declined: destroy web",
        "destroy db",
        "status | cat",
        "# interrupted: !cat",
        "# failed: status ham1 'x",
        "# y'",
    ]
    assert mclu("--check", tmp_path / "x.mclu") == Answer(0, "", "")


def test_the_script_of_an_unused_shell_does_nothing(
    shell: Terminal, tmp_path: Path, mclu: Callable[..., Answer]
) -> None:
    assert script(shell, tmp_path) == []
    assert mclu("--demo", tmp_path / "x.mclu") == Answer(0, "", "")
