"""How mclu's own options are read: those before the command."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from mclu_shell.errors import OutputError, UsageError

_Action = TypeVar("_Action", bound=argparse.Action)


class OptionParser(argparse.ArgumentParser):
    """argparse that raises UsageError, and reads `-c` and `--` as getopt does; `arguments` are what it was given."""

    def __init__(self, **settings: Any) -> None:
        # argparse calls add_argument before its own constructor is through.
        self.arguments: list[argparse.Action] = []
        super().__init__(**settings)

    def _add_action(self, action: _Action) -> _Action:
        self.arguments.append(action)
        return super()._add_action(action)

    def parse(self, words: Sequence[str], options: argparse.Namespace) -> None:
        """Read the options, and the words behind them, into `options`; SystemExit for what only asks for a text."""
        self.parse_args(self._with_joined_values(words), options)
        if options.words[:1] == ["--"]:
            del options.words[0]

    def _with_joined_values(self, words: Sequence[str]) -> list[str]:
        """`-c -list` as `-c-list`: argparse takes a value that begins with a dash for another option."""
        with_value = {name for action in self.arguments if action.nargs is None for name in action.option_strings}
        joined, rest = [], list(words)
        while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
            word = rest.pop(0)
            if word in with_value and rest:
                value = rest.pop(0)
                joined += [_joined(word, value)] if value.startswith("-") else [word, value]
            else:
                joined.append(word)
        return joined + rest

    def format_help(self) -> str:
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy="see 'mclu --help'")

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002
        try:
            sys.stdout.write(message)
            sys.stdout.flush()
        except BrokenPipeError:
            pass  # The reader has seen enough.
        except OSError as error:
            raise OutputError(f"cannot write the answer: {error.strerror}") from error


def _joined(option: str, value: str) -> str:
    return f"{option}={value}" if option.startswith("--") else f"{option}{value}"
