"""The history: its file, and what of it comes back in real terminals."""

import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.shell.history import SharedHistory, append, history_path, read_end
from tests.conftest import Answer
from tests.shell.terminal import CTRL_C, ENTER, Terminal

UP, CTRL_R, CTRL_U, END = "\x1b[A", "\x12", "\x15", "\x05"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".local" / "state" / "mclu" / "history"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFile:
    def test_it_is_where_state_belongs(self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert history_path() == file
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
        assert history_path() == tmp_path / "s" / "mclu" / "history"
        monkeypatch.setenv("XDG_STATE_HOME", "s")
        assert history_path() == file

    def test_nobody_else_can_read_it(self, file: Path) -> None:
        append(file, "status")
        assert (mode(file), mode(file.parent)) == (0o600, 0o700)
        file.chmod(0o644)
        append(file, "list")
        assert mode(file) == 0o600
        assert file.read_text() == "status\nlist\n"

    @given(st.lists(st.text(), max_size=5))
    def test_any_line_comes_back_as_it_was(self, tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
        file = tmp_path_factory.mktemp("x") / "history"
        numbered = [f"{number}{line}" for number, line in enumerate(lines)]
        for line in numbered:
            append(file, line)
        assert read_end(file) == numbered
        assert file.read_bytes().count(b"\n") == len(lines) if lines else not file.exists()

    @pytest.mark.parametrize("line", ["a\nb", "a\\nb", "a\\\nb\\", "\\\\n", "\udcff", "ä"])
    def test_so_does_a_line_with_quoting_in_it(self, file: Path, line: str) -> None:
        append(file, line)
        assert read_end(file) == [line]

    def test_lines_that_are_written_at_once_do_not_mix(self, file: Path) -> None:
        def write(name: str) -> None:
            for number in range(50):
                append(file, f"{name} {number} {name * 5000}")

        writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        wanted = {f"{name} {number} {name * 5000}" for name in "abcd" for number in range(50)}
        assert set(file.read_text().splitlines()) == wanted

    def test_only_the_end_of_a_long_one_is_read(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"status ham{number}\n" for number in range(100_000)))
        assert read_end(file) == [f"status ham{number}" for number in range(99_000, 100_000)]
        file.write_text("".join(f"status {'x' * 1000}{number}\n" for number in range(1000)))
        assert 100 < len(read_end(file)) < 1000
        assert read_end(file)[0].startswith("status x")

    def test_the_half_line_of_another_is_not_read(self, file: Path) -> None:
        append(file, "status")
        with file.open("a") as other:
            other.write("destroy 'ha")
        assert read_end(file) == ["status"]

    def test_equal_lines_in_a_row_are_one(self, file: Path) -> None:
        for line in ("status", "status", "list", "status"):
            append(file, line)
        assert read_end(file) == ["status", "list", "status"]

    def test_a_full_disk_leaves_no_half_line(self, file: Path) -> None:
        append(file, "status")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            with pytest.raises(OSError, match="no space left"):
                append(file, "list --templates")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert file.read_text() == "status\n"

    def test_a_link_to_nowhere_means_none(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.symlink_to("/dev/null")
        before = mode(Path("/dev/null"))
        append(file, "status")
        assert (read_end(file), mode(Path("/dev/null"))) == ([], before)

    def test_a_pipe_in_its_place_is_not_waited_for(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        os.mkfifo(file)
        with pytest.raises(OSError, match="No such device"):
            append(file, "status")
        assert read_end(file) == []


class TestLines:
    def test_a_line_is_kept_at_once(self, file: Path) -> None:
        SharedHistory(file).append_string("status")
        assert file.read_text() == "status\n"

    @pytest.mark.parametrize("line", [" status", "\tstatus", "", "  "])
    def test_a_line_that_begins_with_a_blank_is_not_kept(self, file: Path, line: str) -> None:
        history = SharedHistory(file)
        history.append_string(line)
        assert (history.get_strings(), history.lines(), file.exists()) == ([], [], False)

    def test_ones_own_come_before_those_of_others(self, file: Path) -> None:
        append(file, "old")
        here, there = SharedHistory(file), SharedHistory(file)
        here.append_string("mine")
        there.append_string("theirs")
        assert here.lines() == ["old", "theirs", "mine"]
        assert there.lines() == ["old", "mine", "theirs"]
        here.append_string("theirs")
        assert here.lines() == ["old", "mine", "theirs"]
        assert file.read_text() == "old\nmine\ntheirs\ntheirs\n"

    def test_where_it_cannot_be_kept_that_is_told_once_and_lines_come_back_all_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        history = SharedHistory(tmp_path / "x" / "history")
        history.append_string("status")
        assert history.take_problem() == f"{tmp_path}/x/history: the history is not kept: File exists"
        history.append_string("list")
        assert history.take_problem() is None
        assert history.lines() == ["status", "list"]


class TestPrompt:
    def test_a_line_is_there_while_it_runs(self, shell: Terminal, file: Path) -> None:
        shell.run("!cat ~/.local/state/mclu/history")
        assert shell.screen.endswith("\n!cat ~/.local/state/mclu/history\nmclu>")
        assert (mode(file), mode(file.parent)) == (0o600, 0o700)

    def test_what_was_not_entered_is_not_kept(self, terminal: Callable[..., Terminal], file: Path) -> None:
        shell = terminal()
        shell.run("status ham1")
        shell.run(" status ham2")
        shell.run("status ham1")
        shell.type("off ham" + CTRL_C)
        shell.type("destroy 'ha")
        shell.expect(r"^mclu> destroy 'ha\Z")
        shell.hang_up()
        assert file.read_text() == "status ham1\n"

    def test_shells_share_it_and_lose_nothing(self, terminal: Callable[..., Terminal], file: Path) -> None:
        one, other = terminal(), terminal()
        for shell, line in ((one, "status ham1"), (other, "status ham2"), (one, "status ham3")):
            shell.run(line)
        # The arrow brings back what was entered here, the search finds all.
        other.type(ENTER)
        other.expect(r"^mclu>\nmclu>\Z")
        other.type(UP)
        other.expect(r"^mclu> status ham2\Z")
        other.type(CTRL_U + CTRL_R + "ham3")
        other.expect(r"status ham3\Z")
        other.type(ENTER)
        other.expect(r"^ham3 off\nmclu>\Z")
        assert file.read_text() == "status ham1\nstatus ham2\nstatus ham3\nstatus ham3\n"
        third = terminal()
        third.type(UP + UP)
        third.expect(r"^mclu> status ham2\Z")

    def test_it_suggests(self, terminal: Callable[..., Terminal], file: Path) -> None:
        append(file, "status ham1")
        shell = terminal()
        shell.type("sta")
        shell.expect(r"^mclu> status ham1\Z")
        shell.type(END + ENTER)
        shell.expect(r"^ham1 off\nmclu>\Z")

    def test_it_can_be_shown_and_searched(self, terminal: Callable[..., Terminal], file: Path) -> None:
        for line in ("boot tiny a", "status ham1", "boot debian b"):
            append(file, line)
        shell = terminal()
        shell.run("history")
        assert shell.screen.endswith("mclu> history\nboot tiny a\nstatus ham1\nboot debian b\nmclu>")
        shell.run("history 2")
        assert shell.screen.endswith("mclu> history 2\nstatus ham1\nboot debian b\nmclu>")
        shell.run("history tiny boot")
        assert shell.screen.endswith("mclu> history tiny boot\nboot tiny a\nmclu>")
        shell.run("history nosuch")
        assert shell.screen.endswith("mclu> history nosuch\nmclu>")

    def test_where_it_cannot_be_kept_nothing_is_disturbed(
        self, terminal: Callable[..., Terminal], tmp_path: Path
    ) -> None:
        (tmp_path / ".local").write_text("")
        shell = terminal()
        shell.run("status ham1")
        assert "is not kept: Not a directory\nham1 off\n" in shell.screen
        shell.run("status ham2")
        assert shell.screen.count("is not kept") == 1
        shell.type(UP + UP)
        shell.expect(r"^mclu> status ham1\Z")

    def test_a_blank_line_in_it_harms_nobody(self, terminal: Callable[..., Terminal], file: Path) -> None:
        """Somebody may have edited it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("status ham1\n\n  \nstatus ham2\n")
        shell = terminal()
        told = shell.answer("history ham")
        assert told == "status ham1\nstatus ham2\n"


class TestScript:
    """`history --script`: a session as a script that runs."""

    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Type where what is written is in nobody's way, and is not taken for what the script writes."""
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")

    def script(self, shell: Terminal, tmp_path: Path, *words: str) -> list[str]:
        # The same line is typed more than once.
        shell.answer(" ".join(["history --script", *words, "> ~/x.mclu"]))
        first, *lines = (tmp_path / "x.mclu").read_text().splitlines()
        assert first == "#!/usr/bin/env mclu"
        return lines

    def test_it_does_what_was_done(
        self, shell: Terminal, tmp_path: Path, mclu: Callable[..., Answer], file: Path
    ) -> None:
        append(file, "status of another shell")
        shell.run("alias up='on ham1 --wait'")
        shell.run("up; status 'ham1' | tr a-z A-Z # loud")
        shell.run("help status")
        shell.run("-on ham9; status ham2 >'my file'")
        shell.run("!echo '$HOME' it\\'s $((6 * 7)); echo b")
        shell.run(" status ham3")
        shell.run("history")
        shell.run("up")
        shell.run("status ham2 > 'my $1'")
        assert self.script(shell, tmp_path) == [
            "on ham1 --wait",
            "status ham1 | tr a-z A-Z # loud",
            "-on ham9",
            "status ham2 > 'my file'",
            "!echo '$HOME' it\\'s $((6 * 7)); echo b",
            "on ham1 --wait",
            "status ham2 > 'my $1'",
        ]
        assert self.script(shell, tmp_path, "2") == ["on ham1 --wait", "status ham2 > 'my $1'"]
        assert self.script(shell, tmp_path, "tr", "ham1") == ["status ham1 | tr a-z A-Z # loud"]
        self.script(shell, tmp_path)
        assert mclu("--check", tmp_path / "x.mclu") == Answer(0, "", "")
        answer = mclu("--demo", tmp_path / "x.mclu", "argument")
        assert answer.status == 0
        waking = "Waking up 74:d4:35:51:ab:87...\nham1 on\n"
        loud = "HAM1 ON\n  TOTAL: 8PCPUS 30.9G\n  FREE: 30.9G\n"
        assert answer.out == f"{waking}{loud}$HOME it's 42\nb\n{waking}"
        assert (tmp_path / "my file").read_text() == (tmp_path / "my $1").read_text() == "ham2 off\n"

    def test_what_was_not_done_is_a_comment(self, shell: Terminal, tmp_path: Path, mclu: Callable[..., Answer]) -> None:
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
        assert self.script(shell, tmp_path) == [
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

    def test_of_a_shell_that_has_done_nothing_it_does_nothing(
        self, shell: Terminal, tmp_path: Path, mclu: Callable[..., Answer]
    ) -> None:
        assert self.script(shell, tmp_path) == []
        assert mclu("--demo", tmp_path / "x.mclu") == Answer(0, "", "")
