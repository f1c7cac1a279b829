"""A program in a real pseudo-terminal, with its screen."""

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

from tests.support.mclu import MCLU

LINES, COLUMNS = 30, 100
CTRL_C, CTRL_D, CTRL_L, CTRL_BACKSLASH, ENTER, TAB = "\x03", "\x04", "\x0c", "\x1c", "\r", "\t"
LIMIT_S = 10.0
TOOLBAR = re.compile(r"\d+ on\b.*\d+ guests? running\b.*")


class _Screen(pyte.Screen):
    """A screen that answers queries, as a real terminal does."""

    def __init__(self, reply: Callable[[str], None]) -> None:
        super().__init__(COLUMNS, LINES)
        self._reply = reply

    def write_process_input(self, data: str) -> None:
        self._reply(data)


class Terminal:
    """A program in a terminal of a fixed size, and its screen."""

    def __init__(self, *words: str, program: str = str(MCLU)) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        # prompt_toolkit queries the position of the cursor, and shows no toolbar without a reply.
        self._screen = _Screen(self._reply)
        self._stream = pyte.Stream(self._screen)
        self._log = ""
        self._program = pexpect.spawn(
            program,
            list(words),
            env=environment,
            dimensions=(LINES, COLUMNS),
            encoding="utf-8",
            codec_errors="replace",
        )
        self._program.delaybeforesend = None

    @property
    def _lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def toolbar(self) -> str:
        """The last line of the screen if it is the toolbar."""
        return self._lines[-1] if TOOLBAR.fullmatch(self._lines[-1]) else ""

    @property
    def screen(self) -> str:
        """The screen without the toolbar and without blanks at the ends of lines."""
        return "\n".join(self._lines[:-1] if self.toolbar else self._lines).rstrip()

    @property
    def has_cursor(self) -> bool:
        """True if the cursor is visible."""
        return not self._screen.cursor.hidden

    @property
    def is_running(self) -> bool:
        return bool(self._program.isalive())

    @property
    def pid(self) -> int:
        assert self._program.pid is not None
        return self._program.pid

    @property
    def children(self) -> list[int]:
        """The running child processes of the program."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def hang_up(self) -> int:
        """Close the terminal, as closing its window does; return the program's exit status."""
        process = self._program.ptyproc  # type: ignore[attr-defined]
        process.fileobj.close()
        self._program.closed = True
        process.closed = process.terminated = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def resize(self, columns: int) -> None:
        """Change the width, as the user does with the mouse."""
        self._screen.resize(LINES, columns)
        self._program.setwinsize(LINES, columns)

    def _reply(self, data: str) -> None:
        # The program may have ended.
        with contextlib.suppress(OSError):
            self._program.send(data)

    def type(self, keys: str) -> None:
        self._program.send(keys)

    def read_until(self, matches: Callable[[str], object], seconds: float = LIMIT_S) -> None:
        """Read the program's output until the screen matches."""
        deadline = time.monotonic() + seconds
        while not matches(self.screen):
            assert time.monotonic() < deadline, (
                f"not on the screen in time:\n{self.screen}\n--- all output: {self._log!r}"
            )
            try:
                output = self._program.read_nonblocking(65536, timeout=0.2)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert matches(self.screen), f"the program has ended:\n{self.screen}"
                return
            self._feed(output)

    def read_a_little(self) -> None:
        """Read the output of the next 10 ms, if there is any."""
        with contextlib.suppress(pexpect.TIMEOUT):
            self._feed(self._program.read_nonblocking(65536, timeout=0.01))

    def _feed(self, output: str) -> None:
        self._log += output
        self._stream.feed(output)

    def expect(self, pattern: str, seconds: float = LIMIT_S) -> None:
        """Read until a regular expression matches somewhere on the screen."""
        self.read_until(lambda screen: re.search(pattern, screen, re.MULTILINE), seconds)

    def expect_toolbar(self, text: str, seconds: float = LIMIT_S) -> None:
        """Read until the toolbar contains a text."""
        self.read_until(lambda _screen: text in self.toolbar, seconds)

    def expect_echo(self, word: str) -> None:
        """Type a line for a program that repeats it, to be sure that the program runs."""
        # Before the program runs, the prompt would read the line.
        self.read_until(lambda _screen: self.children)
        self.type(word + ENTER)
        self.expect(rf"^{word}\n(?s:.*)^{word}$")

    def expect_prompt(self) -> None:
        """Read until the program waits at an empty prompt."""
        self.expect(r"^mclu>\Z")

    def answer(self, line: str) -> str:
        """Type a line on a clear screen; return the output before the next prompt."""
        self.type(CTRL_L)
        self.read_until(lambda screen: screen == "mclu>")
        self.run(line)
        return self.screen.rpartition(f"mclu> {line}\n")[2].removesuffix("mclu>")

    def run(self, line: str) -> None:
        """Type a line, and read until the next prompt."""
        # The screen may already show the same line.
        before = self.screen
        done = re.compile(rf"^mclu> {re.escape(line)}$(?s:.*)^mclu>\Z", re.MULTILINE)
        self.type(line + ENTER)
        self.read_until(lambda screen: screen != before and done.search(screen))

    def status(self) -> int:
        """Read until the program ends; return its exit status."""
        self._program.expect(pexpect.EOF, timeout=LIMIT_S)
        self._stream.feed(self._program.before or "")
        self._program.close()
        assert self._program.exitstatus is not None, self._program.signalstatus
        return self._program.exitstatus

    def close(self) -> None:
        self._program.close(force=True)
