"""The language of a line: text into commands, with POSIX quoting, comments, `;`, pipes and redirections.

Pure: it knows no command. Every door (prompt, -c, scripts) reads its lines here, so that a line means the
same everywhere. Quoting follows the POSIX shell, section 2.2. The only expansions are those of variables; what a
variable holds is never split, nor read as anything but text.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from mclu_shell.errors import UsageError

_BLANK = " \t\r"
_ENDS_WORD = _BLANK + "\n;|>"


# `$1`, `$@`, `$#`, `${NAME}`; and what people write instead of the last.
_VARIABLE = re.compile(r"[0-9@#]|\{(?P<braced>[^}\n]*)\}|(?P<bare>[A-Za-z_]\w*)|(?P<open>\{)", re.ASCII)

_ALL_ARGUMENTS = re.compile(rf"""(\$@|"\$@")(?=[{_ENDS_WORD}]|\Z)""")


class Variables(NamedTuple):
    """What a script was given: its arguments, and those that were given by name."""

    arguments: tuple[str, ...] = ()
    named: Mapping[str, str] = MappingProxyType({})

    def value(self, name: str) -> str | None:
        """The value of `1`, `#` or a name; None if it is not set."""
        if name == "#":
            return str(len(self.arguments))
        if name.isdecimal():
            return self.arguments[int(name) - 1] if 0 < int(name) <= len(self.arguments) else None
        return self.named.get(name)


_NOTHING = Variables()


class Line(NamedTuple):
    """One command: its words, where its output goes, and the line (from 1) on which it begins.

    `shell` is a whole line for the user's own shell (`!…`); then there are no words. `variables` are for that, and for
    `pipe`. With `may_fail` (a `-` before it) its failure stops nothing.
    """

    words: tuple[str, ...] = ()
    number: int = 1
    pipe: str = ""
    output: str = ""
    append: bool = False
    shell: str = ""
    may_fail: bool = False
    variables: Variables = _NOTHING


class Unfinished(UsageError):
    """The text ends inside a quotation or after a backslash: more may follow."""

    code = "unfinished"


def parse(text: str, name: str = "", variables: Variables = _NOTHING) -> list[Line]:
    """The commands of a text, in order; UsageError says what is wrong and on which line (of the file `name`)."""
    lines = []
    for part in parts(text, name, variables):
        if isinstance(part, UsageError):
            raise part
        lines.append(part)
    return lines


def parts(text: str, name: str = "", variables: Variables = _NOTHING) -> Iterator[Line | UsageError]:
    """The commands of a text, in order, and in the place of each that cannot be read what is wrong with it."""
    return _Reader(text, name, variables).parts()


class Tail(NamedTuple):
    """The command that a text ends in: its words so far, and the word at the end, which begins at `start`.

    With `is_output` that is the file after `>`.
    """

    words: tuple[str, ...]
    word: str
    start: int
    is_output: bool = False


def tail(text: str) -> Tail | None:
    """What a text ends in, for completion; None where no word of mclu's can follow (a comment, `!`, a pipe)."""
    return _Reader(text).tail()


class _Reader:
    """A cursor over the text; each method consumes one thing of the grammar."""

    def __init__(self, text: str, name: str = "", variables: Variables | None = None) -> None:
        self.text = text
        self.name = name
        # None where they stay as they are written.
        self.variables = variables
        self.at = 0
        self.comment_end = -1
        # What a quotation that the text ends in has so far.
        self.left_open = ""
        # How many lines had ended where it was last asked for.
        self._counted = (0, 0)

    def parts(self) -> Iterator[Line | UsageError]:
        while self._skip_to_command():
            start, number = self.at, self._number()
            try:
                yield self._command()
            except UsageError as fault:
                yield fault
                self.at, self._counted = start, (start, number - 1)
                endless = self._skip_command()
                if endless is not None and str(endless) != str(fault):
                    yield endless

    def _skip_command(self) -> Unfinished | None:
        """Past a command that cannot be read; past everything, and what is wrong, if nobody knows where it ends."""
        variables, self.variables = self.variables, None
        try:
            while self._skip_blanks() and self._peek() not in "\n;":
                self._piece()
        except Unfinished as fault:
            self.at = len(self.text)
            return fault
        finally:
            self.variables = variables
        return None

    def tail(self) -> Tail | None:
        words: list[str] = []
        while self._skip_blanks():
            if self._peek() in "\n;":
                words = []
                self.at += 1
            elif self._peek() == "-" and not words:
                self.at += 1
            elif self._peek() == ">" and words:
                end = self._tail_of_output(words)
                if end is not None or self.at >= len(self.text):
                    return end
            elif self._peek() in "|>" or (self._peek() == "!" and not words):
                if not self._skip_foreign("\n" if self._peek() == "!" else "\n;"):
                    return None
            else:
                start = self.at
                word = self._last_word()
                if self.at >= len(self.text):
                    return Tail(tuple(words), word, start)
                words.append(word)
        return None if self.comment_end == self.at else Tail(tuple(words), "", self.at)

    def _tail_of_output(self, words: list[str]) -> Tail | None:
        """The file after `>`, if the text ends in it; else past what belongs to it."""
        self.at += 2 if self.text.startswith(">>", self.at) else 1
        if not self._skip_blanks():
            return None if self.comment_end == self.at else Tail(tuple(words), "", self.at, is_output=True)
        start = self.at
        word = self._last_word()
        if self.at >= len(self.text):
            return Tail(tuple(words), word, start, is_output=True)
        self._skip_blanks()
        self._skip_foreign("\n;")
        return None

    def _skip_foreign(self, ends: str) -> bool:
        """Past what is not completed, to what ends it; whether any text is left."""
        while self._peek() and self._peek() not in ends:
            if ends == "\n":
                self.at += 1
            else:
                self._last_piece()
        return self.at < len(self.text)

    def _last_word(self) -> str:
        pieces = []
        while self._peek() and self._peek() not in _ENDS_WORD:
            pieces.append(self._last_piece())
        return "".join(pieces)

    def _last_piece(self) -> str:
        """A piece that the end of the text may cut off."""
        try:
            return self._piece()
        except Unfinished:
            self.at = len(self.text)
            return self.left_open

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _number(self) -> int:
        """The line, from 1; a long script is not counted through from its beginning again and again."""
        at, count = self._counted if self._counted[0] <= self.at else (0, 0)
        self._counted = (self.at, count + self.text.count("\n", at, self.at))
        return self._counted[1] + 1

    def _fail(self, fact: str, kind: type[UsageError] = UsageError) -> UsageError:
        if self.name:
            return kind(fact, place=f"{self.name}:{self._number()}")
        return kind(fact, place=f"line {self._number()}" if "\n" in self.text.strip() else "")

    def _skip_to_command(self) -> bool:
        while self._skip_blanks() and self._peek() in "\n;":
            self.at += 1
        return self.at < len(self.text)

    def _skip_blanks(self) -> bool:
        """Past blanks, joined lines and a comment; whether any text is left."""
        while True:
            if self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self._peek() == "#":
                self._take_until("\n")
                self.comment_end = self.at
            elif self._peek() and self._peek() in _BLANK:
                self.at += 1
            else:
                return self.at < len(self.text)

    def _take_until(self, stop: str) -> str:
        end = self.text.find(stop, self.at)
        start, self.at = self.at, len(self.text) if end < 0 else end
        return self.text[start : self.at]

    def _command(self) -> Line:
        number = self._number()
        may_fail = self._peek() == "-"
        if may_fail:
            self.at += 1
            if not self._skip_blanks() or self._peek() in "\n;":
                raise self._fail("no command after '-'")
        variables = self.variables or _NOTHING
        if self._peek() == "!":
            # The user's shell has its own `;` and quotes, so it gets the whole line as it stands.
            self.at += 1
            shell = _trimmed(self._take_until("\n"))
            if not shell:
                raise self._fail("nothing after '!'")
            return Line(number=number, shell=shell, may_fail=may_fail, variables=variables)
        words: list[str] = []
        while self._skip_blanks() and self._peek() not in "\n;|>":
            words += self._words()
        if not words:
            raise self._fail(f"no command before {self._peek()!r}" if self._peek() in ("|", ">") else "$@ is empty")
        line = Line(tuple(words), number, may_fail=may_fail)
        if self._peek() == "|":
            return line._replace(pipe=self._pipe(), variables=variables)
        if self._peek() == ">":
            append, output = self._redirection()
            return line._replace(output=output, append=append)
        return line

    def _pipe(self) -> str:
        """What stands after `|`, as it stands, to the next unquoted `;` or the end of the line."""
        self.at += 1
        start = self.at
        variables, self.variables = self.variables, None
        while self._peek() and self._peek() not in "\n;":
            self._piece()
        self.variables = variables
        command = _trimmed(self.text[start : self.at])
        if not command:
            raise self._fail("nothing after '|'")
        return command

    def _redirection(self) -> tuple[bool, str]:
        append = self.text.startswith(">>", self.at)
        self.at += 2 if append else 1
        if not self._skip_blanks() or self._peek() in "\n;|>":
            raise self._fail("no file after '>'")
        file = self._word()
        if not file:
            raise self._fail("the name of the file after '>' is empty")
        if self._skip_blanks() and self._peek() not in "\n;":
            raise self._fail(f"only one file can follow '>', then ';': {self._peek()!r}")
        return append, file

    def _words(self) -> tuple[str, ...]:
        """The next word, or all that `$@` stands for."""
        all_of_them = _ALL_ARGUMENTS.match(self.text, self.at)
        if all_of_them is None or self.variables is None:
            return (self._word(),)
        self.at = all_of_them.end()
        return self.variables.arguments

    def _word(self) -> str:
        pieces = []
        while self._peek() and self._peek() not in _ENDS_WORD:
            pieces.append(self._piece())
        return "".join(pieces)

    def _piece(self) -> str:
        """One character, escape or quotation, with its quoting taken away."""
        char = self._peek()
        self.at += 1
        if char == "'":
            return self._quoted("'")
        if char == '"':
            return self._quoted('"')
        if char == "\\":
            return self._escaped()
        if char == "$":
            return self._expanded()
        return char

    def _expanded(self) -> str:
        """What the variable behind a `$` holds; a `$` that begins none is itself."""
        found = _VARIABLE.match(self.text, self.at)
        if self.variables is None or found is None:
            return "$"
        written = f"${found[0]}"
        if found["bare"]:
            raise self._fail(f"{written}: write ${{{found['bare']}}} for a variable, or '{written}' for these letters")
        if found["open"]:
            raise self._fail("no closing }", Unfinished)
        if found[0] == "@":
            raise self._fail("$@ stands for several words, so it has to be a word of its own")
        value = self.variables.value(found["braced"] if found["braced"] is not None else found[0])
        if value is None:
            raise self._fail(f"{written} is not set")
        self.at = found.end()
        return value

    def _escaped(self) -> str:
        if not self._peek():
            raise self._fail("nothing after the last '\\'", Unfinished)
        char = self._peek()
        self.at += 1
        return "" if char == "\n" else char

    def _quoted(self, quote: str) -> str:
        pieces: list[str] = []
        start = self.at
        while self._peek() and self._peek() != quote:
            char = self._peek()
            self.at += 1
            # Inside double quotes a backslash quotes only what would be special there (POSIX 2.2.3).
            if quote == '"' and char == "\\" and self._peek() and self._peek() in '$`"\\\n':
                char = self._escaped()
            elif quote == '"' and char == "$":
                char = self._expanded()
            pieces.append(char)
        if not self._peek():
            self.at = start
            self.left_open = "".join(pieces)
            raise self._fail(f"no closing {quote}", Unfinished)
        self.at += 1
        return "".join(pieces)


def _trimmed(program: str) -> str:
    """Without the blanks around it; but one behind a backslash belongs to it."""
    text = program.strip()
    is_escaped = (len(text) - len(text.rstrip("\\"))) % 2
    return program.lstrip()[: len(text) + is_escaped]
