"""Console output as lines of text, without control sequences."""

import codecs
import re

from mclu_shell.cloud.console.regex import Regex

# In characters. Only the end of a longer line is searched.
_LONGEST_LINE = 16 << 10
_ENDS_OF_LINES = re.compile(r"[\r\n]+")
# Control sequences and strings (ECMA-48, section 5), including an incomplete one at the end, other escapes, and control
# characters.
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*(?:[@-~]|\Z)|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|\Z)|\x1b[ -/]*[0-~]?|[\0-\x08\x0b-\x1f\x7f]"
)


class ConsoleText:
    """A search in console output; it includes the unfinished last line, because a prompt has no line end."""

    def __init__(self, expression: Regex) -> None:
        self._expression = expression
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""
        # Last line that is not empty.
        self.last_line = ""

    def feed(self, data: bytes) -> str | None:
        """Add output; return the first line that matches, or None."""
        *lines, rest = _ENDS_OF_LINES.split(self._unfinished + self._decoder.decode(data))
        self._unfinished = rest[-_LONGEST_LINE:]
        for line in (*lines, self._unfinished):
            text = _CONTROLS.sub("", line)
            self.last_line = text.strip() or self.last_line
            if self._expression.is_in(text):
                return text.strip()
        return None
