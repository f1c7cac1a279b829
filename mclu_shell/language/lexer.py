"""The lexer: words with POSIX quoting, comments, joined lines and variables.

Quoting follows section 2.2 of the POSIX shell. Variables are the only expansion. The value of a variable is never split
into words, nor read as syntax.
"""

import re

from mclu_shell.errors import UsageError
from mclu_shell.language.line import Variables

_BLANK = " \t\r"
ENDS_WORD = _BLANK + "\n;|>"

# `$1`, `$@`, `$#`, `${NAME}`; and `$NAME`, for the error that shows the right form.
_VARIABLE = re.compile(r"[0-9@#]|\{(?P<braced>[^}\n]*)\}|(?P<bare>[A-Za-z_]\w*)|(?P<open>\{)", re.ASCII)


class Unfinished(UsageError):
    """The text ends inside a quotation, or after a backslash."""

    code = "unfinished"


class Lexer:
    """A cursor over a text; each method consumes one element of the syntax."""

    def __init__(self, text: str, name: str = "", variables: Variables | None = None) -> None:
        """Without `variables`, a `$` is an ordinary character. `name` is the file's, for errors."""
        self.text = text
        self.name = name
        self.variables = variables
        self.at = 0
        self.comment_end = -1
        # The content of a quotation that the text ends in.
        self.open_quotation = ""
        # The position and the number of newlines before it, as of the last call of `number`.
        self.counted = (0, 0)

    def peek(self) -> str:
        """Return the next character, or an empty string at the end."""
        return self.text[self.at : self.at + 1]

    def number(self) -> int:
        """Return the number of the current line, from 1; count on from the last call, as scripts may be long."""
        at, count = self.counted if self.counted[0] <= self.at else (0, 0)
        self.counted = (self.at, count + self.text.count("\n", at, self.at))
        return self.counted[1] + 1

    def error(self, fact: str, kind: type[UsageError] = UsageError) -> UsageError:
        """Return an error with the place of the cursor."""
        if self.name:
            return kind(fact, place=f"{self.name}:{self.number()}")
        return kind(fact, place=f"line {self.number()}" if "\n" in self.text.strip() else "")

    def skip_blanks(self) -> bool:
        """Skip blanks, joined lines and a comment; return whether any text is left."""
        while True:
            if self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.peek() == "#":
                self.take_until("\n")
                self.comment_end = self.at
            elif self.peek() and self.peek() in _BLANK:
                self.at += 1
            else:
                return self.at < len(self.text)

    def take_until(self, stop: str) -> str:
        """Return the text before `stop`, or all that is left."""
        end = self.text.find(stop, self.at)
        start, self.at = self.at, len(self.text) if end < 0 else end
        return self.text[start : self.at]

    def word(self) -> str:
        """Return the next word without its quoting."""
        pieces = []
        while self.peek() and self.peek() not in ENDS_WORD:
            pieces.append(self.piece())
        return "".join(pieces)

    def piece(self) -> str:
        """Return one character, escape, quotation or variable, without its quoting."""
        char = self.peek()
        self.at += 1
        if char == "'":
            return self._quoted("'")
        if char == '"':
            return self._quoted('"')
        if char == "\\":
            return self._escaped()
        if char == "$":
            return self._variable()
        return char

    def _variable(self) -> str:
        """Return the value of the variable after a `$`; the `$` itself if no variable follows."""
        match = _VARIABLE.match(self.text, self.at)
        if self.variables is None or match is None:
            return "$"
        source = f"${match[0]}"
        if match["bare"]:
            raise self.error(f"{source}: write ${{{match['bare']}}} for a variable, or '{source}' for these letters")
        if match["open"]:
            raise self.error("no closing }", Unfinished)
        if match[0] == "@":
            raise self.error("$@ is part of a word; write it as a word of its own")
        value = self.variables.value(match["braced"] if match["braced"] is not None else match[0])
        if value is None:
            raise self.error(f"{source} is not set")
        self.at = match.end()
        return value

    def _escaped(self) -> str:
        if not self.peek():
            raise self.error("nothing after the last '\\'", Unfinished)
        char = self.peek()
        self.at += 1
        return "" if char == "\n" else char

    def _quoted(self, quote: str) -> str:
        pieces: list[str] = []
        start = self.at
        while self.peek() and self.peek() != quote:
            char = self.peek()
            self.at += 1
            # Inside double quotes, a backslash quotes only characters that are special there (POSIX 2.2.3).
            if quote == '"' and char == "\\" and self.peek() and self.peek() in '$`"\\\n':
                char = self._escaped()
            elif quote == '"' and char == "$":
                char = self._variable()
            pieces.append(char)
        if not self.peek():
            self.at = start
            self.open_quotation = "".join(pieces)
            raise self.error(f"no closing {quote}", Unfinished)
        self.at += 1
        return "".join(pieces)
