"""The history: its file, and its lines at prompts in real terminals."""

import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.shell.history import ShellHistory, history_path
from tests.shell.terminal import CTRL_C, ENTER, Terminal

UP, CTRL_R, CTRL_U, END = "\x1b[A", "\x12", "\x15", "\x05"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".local" / "state" / "mclu" / "history"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def read(file: Path) -> list[str]:
    """Return the lines that a new shell loads, the oldest first."""
    return ShellHistory(file).get_strings()


def write(file: Path, *lines: str) -> ShellHistory:
    """Save lines as another shell would."""
    history = ShellHistory(file)
    for line in lines:
        history.store_string(line)
    return history


class TestFile:
    def test_the_file_is_in_the_state_directory(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert history_path() == file
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
        assert history_path() == tmp_path / "s" / "mclu" / "history"
        monkeypatch.setenv("XDG_STATE_HOME", "s")
        assert history_path() == file

    @pytest.mark.parametrize("umask", [0o000, 0o077])
    def test_only_its_user_can_read_the_file(self, file: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            ShellHistory(file).append_string("status")
        finally:
            os.umask(before)
        assert (mode(file), mode(file.parent)) == (0o600, 0o700)

    def test_the_mode_of_an_existing_file_is_corrected(self, file: Path) -> None:
        write(file, "status")
        file.chmod(0o644)
        write(file, "list")
        assert mode(file) == 0o600
        assert read(file) == ["status", "list"]

    @given(st.lists(st.text(), max_size=5))
    def test_any_line_is_read_back_unchanged(self, tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
        file = tmp_path_factory.mktemp("x") / "history"
        numbered = [f"{number}{line}" for number, line in enumerate(lines)]
        write(file, *numbered)
        assert read(file) == numbered

    @pytest.mark.parametrize("line", ["a\nb", "a\\nb", "a\\\nb\\", "\\\\n", "a\r\n\n+b", "# a", "+", "ä"])
    def test_a_line_with_special_characters_is_read_back_unchanged(self, file: Path, line: str) -> None:
        write(file, line, "status")
        assert read(file) == [line, "status"]

    def test_lines_of_several_writers_do_not_mix(self, file: Path) -> None:
        def write_50(name: str) -> None:
            for number in range(50):
                write(file, f"{name} {number} {name * 1000}")

        writers = [threading.Thread(target=write_50, args=(name,)) for name in "abcd"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert set(read(file)) == {f"{name} {number} {name * 1000}" for name in "abcd" for number in range(50)}

    def test_the_last_10000_lines_of_a_long_file_are_loaded(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"\n# 2026-11-28\n+status ham{number}\n" for number in range(100_000)))
        assert read(file) == [f"status ham{number}" for number in range(90_000, 100_000)]

    def test_a_line_after_an_incomplete_one_is_read(self, file: Path) -> None:
        write(file, "status")
        with file.open("a") as other:
            other.write("\n# 2026-11-28\n+destroy 'ha")
        write(file, "list")
        assert read(file) == ["status", "destroy 'ha", "list"]

    def test_a_full_disk_is_reported(self, file: Path) -> None:
        write(file, "status")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
        try:
            history = write(file, "list --templates")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert str(history.take_error()) == f"{file}: cannot save the history: File too large"
        assert read(file) == ["status"]

    def test_a_link_to_dev_null_keeps_no_history(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.symlink_to("/dev/null")
        before = mode(Path("/dev/null"))
        history = write(file, "status")
        assert (read(file), history.take_error(), mode(Path("/dev/null"))) == ([], None, before)

    def test_a_fifo_blocks_neither_reading_nor_writing(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        os.mkfifo(file)
        assert read(file) == []
        assert str(write(file, "status").take_error()) == f"{file}: cannot save the history: it is a FIFO"


class TestOldFormat:
    """Files of one escaped line per entry, as mclu wrote before it used prompt_toolkit's format."""

    def test_the_file_is_converted_once(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.write_text("status\n# a\nboot \\\\\\n  tiny\n!echo 'a\\\\nb'\n")
        lines = ["status", "# a", "boot \\\n  tiny", "!echo 'a\\nb'"]
        assert read(file) == lines
        write(file, "list")
        assert read(file) == [*lines, "list"]
        assert mode(file) == 0o600
        assert list(file.parent.iterdir()) == [file]

    def test_the_target_of_a_link_is_converted(self, file: Path, tmp_path: Path) -> None:
        file.parent.mkdir(parents=True)
        file.symlink_to(tmp_path / "dotfile")
        file.write_text("status\n")
        assert read(file) == ["status"]
        assert file.is_symlink()


class TestLines:
    def test_a_line_is_saved_at_once(self, file: Path) -> None:
        history = ShellHistory(file)
        history.append_string("status")
        assert read(file) == ["status"]

    @pytest.mark.parametrize("line", [" status", "\tstatus", "", "  "])
    def test_a_line_that_begins_with_a_blank_is_not_saved(self, file: Path, line: str) -> None:
        history = ShellHistory(file)
        history.append_string(line)
        assert (history.get_strings(), file.exists()) == ([], False)

    def test_lines_of_this_shell_follow_those_that_it_has_loaded(self, file: Path) -> None:
        write(file, "old")
        one, other = ShellHistory(file), ShellHistory(file)
        assert one.get_strings() == other.get_strings() == ["old"]
        one.append_string("one")
        other.append_string("other")
        assert one.get_strings() == ["old", "one"]
        assert other.get_strings() == ["old", "other"]
        assert read(file) == ["old", "one", "other"]

    def test_an_unwritable_file_is_reported_once_and_lines_stay_in_memory(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        history = ShellHistory(tmp_path / "x" / "history")
        assert history.get_strings() == []
        history.append_string("status")
        assert str(history.take_error()) == f"{tmp_path}/x/history: cannot save the history: Not a directory"
        history.append_string("list")
        assert history.take_error() is None
        assert history.get_strings() == ["status", "list"]


class TestPrompt:
    def test_a_line_is_saved_before_it_runs(self, shell: Terminal, file: Path) -> None:
        shell.run("!cat ~/.local/state/mclu/history")
        assert shell.screen.endswith("\n+!cat ~/.local/state/mclu/history\nmclu>")
        assert (mode(file), mode(file.parent)) == (0o600, 0o700)

    def test_lines_that_were_not_entered_are_not_saved(self, terminal: Callable[..., Terminal], file: Path) -> None:
        shell = terminal()
        shell.run("status ham1")
        shell.run(" status ham2")
        shell.run("status ham1")
        shell.type("off ham" + CTRL_C)
        shell.type("destroy 'ha")
        shell.expect(r"^mclu> destroy 'ha\Z")
        shell.hang_up()
        assert read(file) == ["status ham1"]

    def test_shells_add_to_one_history_and_lose_nothing(self, terminal: Callable[..., Terminal], file: Path) -> None:
        one, other = terminal(), terminal()
        for shell, line in ((one, "status ham1"), (other, "status ham2"), (one, "status ham3")):
            shell.run(line)
        assert read(file) == ["status ham1", "status ham2", "status ham3"]
        # Lines of other shells do not come between those of this one.
        one.type(UP + UP)
        one.expect(r"^mclu> status ham1\Z")
        third = terminal()
        third.type(UP + UP)
        third.expect(r"^mclu> status ham2\Z")
        third.type(CTRL_U + CTRL_R + "ham1")
        third.expect(r"status ham1\Z")
        third.type(ENTER)
        third.expect(r"^ham1 off\nmclu>\Z")

    def test_a_suggestion_comes_from_the_history(self, terminal: Callable[..., Terminal], file: Path) -> None:
        write(file, "status ham1")
        shell = terminal()
        shell.type("sta")
        shell.expect(r"^mclu> status ham1\Z")
        shell.type(END + ENTER)
        shell.expect(r"^ham1 off\nmclu>\Z")

    def test_history_lists_and_searches_lines(self, terminal: Callable[..., Terminal], file: Path) -> None:
        write(file, "boot tiny a", "status ham1", "boot debian b")
        shell = terminal()
        shell.run("history")
        assert shell.screen.endswith("mclu> history\nboot tiny a\nstatus ham1\nboot debian b\nmclu>")
        shell.run("history 2")
        assert shell.screen.endswith("mclu> history 2\nstatus ham1\nboot debian b\nmclu>")
        shell.run("history tiny boot")
        assert shell.screen.endswith("mclu> history tiny boot\nboot tiny a\nmclu>")
        shell.run("history nosuch")
        assert shell.screen.endswith("mclu> history nosuch\nmclu>")

    def test_an_unwritable_file_is_reported_once(self, terminal: Callable[..., Terminal], tmp_path: Path) -> None:
        (tmp_path / ".local").write_text("")
        shell = terminal()
        shell.run("status ham1")
        # The path makes the message longer than a line of the screen.
        assert "cannot save the history: Not a directoryham1 off" in shell.screen.replace("\n", "")
        shell.run("status ham2")
        assert shell.screen.replace("\n", "").count("cannot save the history") == 1
        shell.type(UP + UP)
        shell.expect(r"^mclu> status ham1\Z")

    def test_history_in_the_start_up_file_lists_the_lines_of_the_file(
        self, terminal: Callable[..., Terminal], file: Path, tmp_path: Path
    ) -> None:
        write(file, "status ham1")
        (tmp_path / ".config/mclu").mkdir(parents=True)
        (tmp_path / ".config/mclu/mclurc").write_text("history\n")
        assert terminal().screen.endswith("Ctrl-D leaves.\nstatus ham1\nmclu>")

    def test_blank_lines_in_an_edited_file_do_no_harm(self, terminal: Callable[..., Terminal], file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n+status ham1\n\n  \n+\n\n+  \n# x\n+status ham2\n")
        assert terminal().answer("history ham") == "status ham1\nstatus ham2\n"
