"""The argparse parser that mclu's global options and its commands have in common."""

import argparse
from functools import partial
from typing import Any, NoReturn, TypeVar

from mclu_shell.errors import UsageError

# Longer lines are hard to read, however wide the terminal is.
MAX_WIDTH = 118

_Action = TypeVar("_Action", bound=argparse.Action)


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that raises UsageError instead of ending the program.

    `arguments` lists the options and positional arguments for completion.
    """

    def __init__(self, formatter: type[argparse.HelpFormatter], *, remedy: str, **settings: Any) -> None:
        # argparse calls _add_action within its constructor.
        self.arguments: list[argparse.Action] = []
        self._formatter, self._remedy = formatter, remedy
        super().__init__(
            # argparse makes a formatter for each argument. Without a width, it would import shutil and all compressors.
            formatter_class=partial(formatter, width=MAX_WIDTH),
            allow_abbrev=False,
            **settings,
        )

    def _add_action(self, action: _Action) -> _Action:
        # Groups of options call this method as well.
        self.arguments.append(action)
        return super()._add_action(action)

    @property
    def option_names(self) -> list[str]:
        """The names of all options, short and long."""
        return [name for action in self.arguments for name in action.option_strings]

    def format_help(self) -> str:
        """Return the help, as wide as the terminal."""
        self.formatter_class = self._formatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(message, remedy=self._remedy)
