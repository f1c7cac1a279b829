"""The parser: text into lines, with `;`, pipes, redirections and lines for the user's shell.

It knows no command, and does no I/O. The prompt, `-c` and scripts all use it, so a line means the same everywhere.
"""

import re
from collections.abc import Iterator

from mclu_shell.errors import UsageError
from mclu_shell.language.lexer import ENDS_WORD, Lexer, Unfinished
from mclu_shell.language.line import NO_VARIABLES, Line, Variables

_ALL_ARGUMENTS = re.compile(rf"""(\$@|"\$@")(?=[{ENDS_WORD}]|\Z)""")


def parse(text: str, name: str = "", variables: Variables = NO_VARIABLES) -> list[Line]:
    """Return the lines of a text, in order; raise UsageError with the line's number (in the file `name`)."""
    lines = []
    for part in parts(text, name, variables):
        if isinstance(part, UsageError):
            raise part
        lines.append(part)
    return lines


def parts(text: str, name: str = "", variables: Variables = NO_VARIABLES) -> Iterator[Line | UsageError]:
    """Yield the lines of a text, in order; a UsageError replaces a line that cannot be parsed."""
    return _Parser(text, name, variables).parts()


class _Parser(Lexer):
    """A lexer with the grammar of lines."""

    def parts(self) -> Iterator[Line | UsageError]:
        while self._skip_to_line():
            start, number = self.at, self.number()
            try:
                yield self._line()
            except UsageError as error:
                yield error
                self.at, self.counted = start, (start, number - 1)
                unfinished = self._skip_line()
                if unfinished is not None and str(unfinished) != str(error):
                    yield unfinished

    def _skip_to_line(self) -> bool:
        while self.skip_blanks() and self.peek() in "\n;":
            self.at += 1
        return self.at < len(self.text)

    def _skip_line(self) -> Unfinished | None:
        """Skip a line that cannot be parsed; if its end cannot be found, skip the rest and return the error."""
        variables, self.variables = self.variables, None
        try:
            while self.skip_blanks() and self.peek() not in "\n;":
                self.piece()
        except Unfinished as error:
            self.at = len(self.text)
            return error
        finally:
            self.variables = variables
        return None

    def _line(self) -> Line:
        number = self.number()
        may_fail = self.peek() == "-"
        if may_fail:
            self.at += 1
            if not self.skip_blanks() or self.peek() in "\n;":
                raise self.error("no command after '-'")
        variables = self.variables or NO_VARIABLES
        if self.peek() == "!":
            # The user's shell has its own `;` and quotes, so it gets the whole line unchanged.
            self.at += 1
            shell = _trimmed(self.take_until("\n"))
            if not shell:
                raise self.error("nothing after '!'")
            return Line(number=number, shell=shell, may_fail=may_fail, variables=variables)
        words: list[str] = []
        while self.skip_blanks() and self.peek() not in "\n;|>":
            words += self._words()
        if not words:
            raise self.error(f"no command before {self.peek()!r}" if self.peek() in ("|", ">") else "$@ is empty")
        line = Line(tuple(words), number, may_fail=may_fail)
        if self.peek() == "|":
            return line._replace(pipe=self._pipe(), variables=variables)
        if self.peek() == ">":
            append, output = self._redirection()
            return line._replace(output=output, append=append)
        return line

    def _words(self) -> tuple[str, ...]:
        """Return the next word, or all arguments for `$@`."""
        match = _ALL_ARGUMENTS.match(self.text, self.at)
        if match is None or self.variables is None:
            return (self.word(),)
        self.at = match.end()
        return self.variables.arguments

    def _pipe(self) -> str:
        """Return the text after `|`, unchanged, to the next unquoted `;` or the end of the line."""
        self.at += 1
        start = self.at
        variables, self.variables = self.variables, None
        while self.peek() and self.peek() not in "\n;":
            self.piece()
        self.variables = variables
        program = _trimmed(self.text[start : self.at])
        if not program:
            raise self.error("nothing after '|'")
        return program

    def _redirection(self) -> tuple[bool, str]:
        """Return whether to append, and the file."""
        append = self.text.startswith(">>", self.at)
        self.at += 2 if append else 1
        if not self.skip_blanks() or self.peek() in "\n;|>":
            raise self.error("no file after '>'")
        file = self.word()
        if not file:
            raise self.error("the name of the file after '>' is empty")
        if self.skip_blanks() and self.peek() not in "\n;":
            raise self.error(f"only one file can follow '>', then ';': {self.peek()!r}")
        return append, file


def _trimmed(program: str) -> str:
    """Return a text without the blanks around it; an escaped blank at its end is kept."""
    text = program.strip()
    is_escaped = (len(text) - len(text.rstrip("\\"))) % 2
    return program.lstrip()[: len(text) + is_escaped]
