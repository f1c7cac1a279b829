"""The options of commands that show tables: --sort, --columns and --watch."""

import argparse
from collections.abc import Sequence

from mclu_shell.argtypes.completers import Candidate, CompletionContext
from mclu_shell.argtypes.types import ArgType, choice
from mclu_shell.units import format_duration, parse_duration

# Events show changes of guests at once; the rest, such as free memory, changes slowly.
_WATCH_S = 5.0
_LEAST_WATCH_S = 0.2
_SUGGESTED_WATCH_S = (2.0, _WATCH_S, 30.0)


def add_view_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Add the options for a table with columns of these names."""
    parser.add_argument("--sort", metavar="COLUMN", type=choice(*names), help="sort; numbers the largest first")
    parser.add_argument("--columns", metavar="A,B", type=_columns(names), help="show only these columns, in this order")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=_WATCH_S,
        type=ArgType(_parse_interval, lambda _context: [_interval(seconds) for seconds in _SUGGESTED_WATCH_S]),
        help=f"follow changes; query every SECONDS (default: {_WATCH_S:g})",
    )


def _columns(names: Sequence[str]) -> ArgType:
    """Return the type of a list of names with commas between them."""

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(","))
        for word in words:
            choice(*names).parse(word)
        return words

    def complete(context: CompletionContext) -> list[Candidate]:
        before = context.word.rpartition(",")[0]
        prefix = f"{before}," if before else ""
        used = before.split(",")
        return [Candidate(f"{prefix}{name}", display=name) for name in names if name not in used]

    return ArgType(parse, complete)


def _parse_interval(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < _LEAST_WATCH_S:
        raise ValueError(f"bad interval {text!r}: must be at least {format_duration(_LEAST_WATCH_S)}")
    return seconds


def _interval(seconds: float) -> Candidate:
    return Candidate(f"{seconds:g}", format_duration(seconds))
