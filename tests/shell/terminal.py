"""A program in a real pseudo-terminal, as a person sees it."""

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

from tests.conftest import MCLU

LINES, COLUMNS = 30, 100
CTRL_C, CTRL_D, CTRL_L, CTRL_BACKSLASH, ENTER, TAB = "\x03", "\x04", "\x0c", "\x1c", "\r", "\t"
LIMIT_S = 10.0
TOOLBAR = re.compile(r"\d+ on\b.*\d+ guests? running\b.*")


class Terminal:
    """A program in a terminal of a fixed size, and its screen."""

    def __init__(self, *words: str, program: str = str(MCLU)) -> None:
        environment = {**os.environ, "TERM": "xterm-256color"}
        self._screen = pyte.Screen(COLUMNS, LINES)
        # As a real one it says where the cursor is, without which there is no line below the prompt.
        self._screen.write_process_input = self._answer
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
        """The last line, as long as there is a prompt."""
        return self._lines[-1] if TOOLBAR.fullmatch(self._lines[-1]) else ""

    @property
    def screen(self) -> str:
        """What stands above it, without the blanks at the ends of lines."""
        return "\n".join(self._lines[:-1] if self.toolbar else self._lines).rstrip()

    @property
    def is_running(self) -> bool:
        return bool(self._program.isalive())

    @property
    def pid(self) -> int:
        return int(self._program.pid)

    @property
    def children(self) -> list[int]:
        """The processes that the program has started, and that still run."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def hang_up(self) -> int:
        """Take the terminal away, as closing its window does; the program's exit status."""
        self._program.ptyproc.fileobj.close()
        self._program.closed = True
        self._program.ptyproc.closed = self._program.ptyproc.terminated = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _answer(self, report: str) -> None:
        # The program may have ended by now.
        with contextlib.suppress(OSError):
            self._program.send(report)

    def type(self, keys: str) -> None:
        self._program.send(keys)

    def read_until(self, is_there: Callable[[str], object], seconds: float = LIMIT_S) -> None:
        """Read what the program writes until the screen is as it should be."""
        deadline = time.monotonic() + seconds
        while not is_there(self.screen):
            assert time.monotonic() < deadline, (
                f"not on the screen in time:\n{self.screen}\n--- all of it: {self._log!r}"
            )
            try:
                written = self._program.read_nonblocking(65536, timeout=0.2)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert is_there(self.screen), f"the program has ended:\n{self.screen}"
                return
            self._feed(written)

    def read_a_little(self) -> None:
        """Read what the program writes at once, if it does."""
        with contextlib.suppress(pexpect.TIMEOUT):
            self._feed(self._program.read_nonblocking(65536, timeout=0.01))

    def _feed(self, written: str) -> None:
        self._log += written
        self._stream.feed(written)

    def expect(self, pattern: str, seconds: float = LIMIT_S) -> None:
        """Read until a regular expression matches somewhere on the screen."""
        self.read_until(lambda screen: re.search(pattern, screen, re.MULTILINE), seconds)

    def expect_toolbar(self, words: str, seconds: float = LIMIT_S) -> None:
        """Read until these words are in the line below the prompt."""
        self.read_until(lambda _screen: words in self.toolbar, seconds)

    def expect_echo(self, word: str) -> None:
        """Type a line for a program that repeats it, so that it runs for certain."""
        # Before the program is there, the line would be the prompt's.
        self.read_until(lambda _screen: self.children)
        self.type(word + ENTER)
        self.expect(rf"^{word}\n(?s:.*)^{word}$")

    def expect_prompt(self) -> None:
        """Read until the program waits at an empty prompt."""
        self.expect(r"^mclu>\Z")

    def answer(self, line: str) -> str:
        """Type a line on a clear screen; what stands between it and the next prompt."""
        self.type(CTRL_L)
        self.read_until(lambda screen: screen == "mclu>")
        self.run(line)
        return self.screen.rpartition(f"mclu> {line}\n")[2].removesuffix("mclu>")

    def run(self, line: str) -> None:
        """Type a line, and read until the next prompt."""
        # The same line may have been typed before.
        before = self.screen
        done = re.compile(rf"^mclu> {re.escape(line)}$(?s:.*)^mclu>\Z", re.MULTILINE)
        self.type(line + ENTER)
        self.read_until(lambda screen: screen != before and done.search(screen))

    def status(self) -> int:
        """Read to the end of the program; its exit status."""
        self._program.expect(pexpect.EOF, timeout=LIMIT_S)
        self._stream.feed(self._program.before or "")
        self._program.close()
        assert self._program.exitstatus is not None, self._program.signalstatus
        return self._program.exitstatus

    def close(self) -> None:
        self._program.close(force=True)
