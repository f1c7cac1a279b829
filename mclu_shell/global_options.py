"""mclu's global options: those before the command."""

import argparse
import sys
from collections.abc import Sequence

from mclu_shell import __version__
from mclu_shell.argument_parser import ArgumentParser
from mclu_shell.errors import OutputError

_ABOUT = "Manage virtual machines on a few Linux hosts, over SSH and libvirt."
_MORE = """\
Without a command, mclu starts an interactive shell. 'mclu help' lists commands.
A script (FILE.mclu, or '-' for standard input) has one command per line."""


def global_parser() -> "GlobalParser":
    """Return the parser of mclu's command line."""
    parser = GlobalParser()
    add = parser.add_argument
    add("-f", "--config-file", metavar="FILE",
        help="configuration file (default: $MCLU_CONFIG, ~/.config/mclu/mclu.conf, /etc/mclu.conf)")  # fmt: skip
    add("-c", dest="lines", metavar="LINE", action="append", help="run commands, separated by ';' or newlines")
    add("-n", "--dry-run", action="store_true", help="show what would be done, change nothing")
    add("--check", action="store_true", help="check a script for errors without running it")
    add("-k", "--keep-going", action="store_true", help="continue after a failure; the exit status still reports it")
    add("-v", "--verbose", action="store_true", help="log every remote call and its duration")
    add("--demo", action="store_true", help="use simulated nodes")
    add("-o", "--output", choices=("text", "json"), default="text", help="output format (default: text)")
    add("--color", choices=("auto", "always", "never"), default="auto",
        help="when to use colour (default: auto; NO_COLOR disables it)")  # fmt: skip
    # argparse compares a constant with the choices only if it is a string.
    add("--install-completion", nargs="?", const=True, choices=("bash", "zsh", "fish"), metavar="bash|zsh|fish",
        help="install completion for your shell (default: the shell in $SHELL)")  # fmt: skip
    add("-V", "--version", action="version", version=f"mclu {__version__}")
    # Options after the first word belong to the command.
    add("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


class GlobalParser(ArgumentParser):
    """The parser of mclu's command line, which reads `-c` and `--` as getopt does."""

    def __init__(self) -> None:
        super().__init__(
            argparse.RawDescriptionHelpFormatter,
            remedy="see 'mclu --help'",
            prog="mclu",
            usage="mclu [OPTION…] [COMMAND [ARG…] | FILE.mclu [ARG…] | - [ARG…]]",
            description=_ABOUT,
            epilog=_MORE,
        )

    def parse(self, words: Sequence[str], options: argparse.Namespace) -> None:
        """Read options and words into `options`; raise UsageError, or SystemExit after `--help` and `--version`."""
        self.parse_args(self._with_joined_values(words), options)
        if options.words[:1] == ["--"]:
            del options.words[0]

    def _with_joined_values(self, words: Sequence[str]) -> list[str]:
        """Return `-c -list` as `-c-list`: argparse takes a value that begins with a dash for another option."""
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

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002
        try:
            sys.stdout.write(message)
            sys.stdout.flush()
        except BrokenPipeError:
            pass  # The reader has closed the pipe, as `| head` does.
        except OSError as error:
            raise OutputError(f"cannot write the answer: {error.strerror}") from error


def _joined(option: str, value: str) -> str:
    return f"{option}={value}" if option.startswith("--") else f"{option}{value}"
