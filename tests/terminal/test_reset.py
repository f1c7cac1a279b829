"""The reset of a terminal after a guest had it, on an emulator (pyte) and on tmux."""

import os
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pyte
import pytest

from mclu_shell.terminal.reset import begin_foreign_output, end_foreign_output
from tests.support.waiting import eventually


class Output(StringIO):
    """A terminal that keeps its output."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def written(monkeypatch: pytest.MonkeyPatch, term: str | None, out: StringIO) -> tuple[str, str]:
    """Return the output before and after a guest's."""
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    begin_foreign_output(out)
    before = out.getvalue()
    end_foreign_output(out)
    return before, out.getvalue().removeprefix(before)


@pytest.mark.parametrize("term", ["dumb", "", "unknown", None])
def test_a_terminal_without_control_sequences_gets_none(monkeypatch: pytest.MonkeyPatch, term: str | None) -> None:
    assert written(monkeypatch, term, Output()) == ("", "")


def test_a_pipe_gets_no_control_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, "xterm", StringIO()) == ("", "")


def test_a_linux_console_gets_no_sequence_of_xterm_that_it_would_print(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = written(monkeypatch, "linux", Output())
    assert before == ""
    assert not any(sequence in after for sequence in ("\x1b[>", "\x1b[=", "\x1b]1", "\x1b[!", "t"))
    assert after.endswith("\x1b]R")


def test_the_title_is_saved_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = written(monkeypatch, "xterm-256color", Output())
    assert (before, after[-7:]) == ("\x1b[22;0t", "\x1b[23;0t")


@pytest.mark.parametrize(
    "left",
    [
        "\x1b[?1h", "\x1b[?5h", "\x1b[?25l", "\x1b[?7l", "\x1b[4h", "\x1b[2;4r", "\x1b(0", "\x0e", "\x1b)0\x0e",
        "\x1b[7;31m", "\x1b[?1000h\x1b[?1006h", "\x1b[?2004h", "\x1b]0;unfinished", "\x1b[12", "\x1bP",
    ],
)  # fmt: skip
def test_an_emulator_is_as_before_after_any_state_of_a_guest(monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    screen = pyte.Screen(40, 8)
    stream = pyte.Stream(screen)
    stream.feed("one\r\ntwo")
    before = state(screen)
    stream.feed(left)
    _, after = written(monkeypatch, "xterm", Output())
    stream.feed(after)
    assert state(screen) == before
    stream.feed("\r\nthree lqk")
    assert "three lqk" in [line.strip() for line in screen.display]


def state(screen: pyte.Screen) -> tuple[object, ...]:
    """Return everything that programs of a guest can leave changed."""
    cursor = screen.cursor
    # Of the modes, pyte knows few; it keeps the others as they were set.
    return set(screen.mode), screen.margins or (0, 7), screen.charset, cursor.attrs, cursor.hidden


# tmux reports the modes of its terminal.
MODES = (
    "#{alternate_on} #{cursor_flag} #{insert_flag} #{keypad_cursor_flag} #{keypad_flag} #{mouse_any_flag} "
    "#{origin_flag} #{wrap_flag} #{scroll_region_upper} #{scroll_region_lower} #{cursor_y}"
)
HOSTILE = r"\033[?1049h\033[5;1H\033[?1003h\033[?1006h\033[?1h\033=\033[?25l\033[?7l\033[4h\033[2;4r\033(0"


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_tmux_is_as_before_after_a_full_screen_guest(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> None:
    _, after = written(monkeypatch, "tmux-256color", Output())
    (short_directory / "after").write_text(after)
    script = f"printf 'one\\n'; printf '{HOSTILE}'; read x; cat {short_directory}/after; printf 'lqk\\n'; read x"
    socket = str(short_directory / "tmux")

    def tmux(*words: str) -> str:
        done = subprocess.run(["tmux", "-S", socket, *words], capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.strip()

    environment = {**os.environ, "TERM": "xterm"}
    subprocess.run(
        ["tmux", "-S", socket, "-f", "/dev/null", "new", "-d", "-x", "40", "-y", "8", "sh", "-c", script],
        check=True, env=environment,
    )  # fmt: skip
    try:
        assert eventually(lambda: tmux("display", "-p", MODES).startswith("1 0 1 1 1 1"))
        tmux("send-keys", "Enter")
        assert eventually(lambda: "lqk" in tmux("capture-pane", "-p"))
        assert tmux("capture-pane", "-p") == "one\nlqk"
        assert tmux("display", "-p", MODES) == "0 1 0 0 0 0 0 1 0 7 2"
    finally:
        tmux("kill-server")
