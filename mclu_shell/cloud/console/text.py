"""What a guest has written on its console, read as lines of text, and looked through for an expression."""

import codecs
import re

from mclu_shell.cloud.console.regex import Regex

# In characters. Of a line that goes on for ever, only the end is looked at.
_LONGEST_LINE = 16 << 10
_ENDS_OF_LINES = re.compile(r"[\r\n]+")
# Control sequences and strings (ECMA-48, section 5), also one that is still to be completed, other escapes, and single
# control characters.
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*(?:[@-~]|\Z)|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|\Z)|\x1b[ -/]*[0-~]?|[\0-\x08\x0b-\x1f\x7f]"
)


class ConsoleText:
    """A console's text so far; a line counts before it has ended, because a prompt never does."""

    def __init__(self, expression: Regex) -> None:
        self._expression = expression
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""
        # The last that is not empty.
        self.last_line = ""

    def feed(self, data: bytes) -> str | None:
        """Read on; the first line in which the expression is found, if there is one."""
        *lines, rest = _ENDS_OF_LINES.split(self._unfinished + self._decoder.decode(data))
        self._unfinished = rest[-_LONGEST_LINE:]
        for line in (*lines, self._unfinished):
            text = _CONTROLS.sub("", line)
            self.last_line = text.strip() or self.last_line
            if self._expression.is_in(text):
                return text.strip()
        return None
