"""Regular expressions of users: RE2, because its search time is linear in the text for every expression."""

import re2


class Regex:
    """A compiled regular expression; ValueError if it is invalid."""

    def __init__(self, text: str) -> None:
        self.text = text
        options = re2.Options()
        # RE2 logs errors to stderr by default.
        options.log_errors = False
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            # The message is bytes and includes the offending part.
            raise ValueError(f"bad regular expression '{text}': {error.args[0].decode()}") from None
        except UnicodeEncodeError:
            raise ValueError(f"bad regular expression {text!r}: it is not text") from None

    def is_in(self, line: str) -> bool:
        """Return True if a line contains a match."""
        return self._compiled.search(line) is not None
