"""A user's regular expression, looked for in time that grows with the text alone, whatever it is: RE2's do."""

import re2


class Regex:
    """One that has been understood; ValueError says what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        options = re2.Options()
        # By default it writes what is wrong to stderr.
        options.log_errors = False
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            # In bytes, and with what is wrong where it is not plain.
            raise ValueError(f"bad regular expression '{text}': {error.args[0].decode()}") from None
        except UnicodeEncodeError:
            raise ValueError(f"bad regular expression {text!r}: it is not text") from None

    def is_in(self, line: str) -> bool:
        """Whether it is found anywhere in a line."""
        return self._compiled.search(line) is not None
