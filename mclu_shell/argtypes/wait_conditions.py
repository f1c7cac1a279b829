"""What `wait` is told to wait for: names, and at the end of the line what all that they mean is to come to."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mclu_shell.argtypes.types import GUEST, NODE, ArgType, Candidate, Spot

if TYPE_CHECKING:
    from mclu_shell.cloud.console.regex import Regex

NODE_STATES = ("on", "off")
GUEST_STATES = ("running", "off", "ip", "ssh")
CONSOLE = "console"
# More names than these make no progress easier to read.
_SHOWN = 5
_WORDS = {
    "on": "to be on",
    "off": "to be off",
    "running": "to run",
    "ip": "to have an address",
    "ssh": "to have an sshd that answers",
}


class Goal(NamedTuple):
    """The names as typed, and the state; where that is `console`, with what is to be written there."""

    names: tuple[str, ...]
    state: str
    expression: "Regex | None" = None

    def __str__(self) -> str:
        return f"to write '{self.expression.text}' on the console" if self.expression else _WORDS[self.state]

    def progress(self, names: Sequence[str]) -> str:
        """What is said while those named are not there yet; nothing when all are."""
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"waiting for {', '.join(names[:_SHOWN])}{more} {self}" if names else ""


class ReadGoal(argparse.Action):
    """Makes a goal of all the words; what kind of names they are, another argument, `what`, has said before."""

    def __call__(self, parser: argparse.ArgumentParser, args: argparse.Namespace, words: Any, *_more: Any) -> None:
        """Put the goal among the arguments; what is wrong with the words is an error of the parser's."""
        try:
            goal = _of_nodes(words) if args.what == "node" else _of_guests(words)
        except (ValueError, argparse.ArgumentTypeError) as error:
            parser.error(str(error))
        setattr(args, self.dest, goal)


def _of_nodes(words: Sequence[str]) -> Goal:
    # A node may be called as a state is.
    *names, last = words
    if names and last in NODE_STATES:
        return Goal(tuple(map(NODE, names)), last)
    return Goal(tuple(map(NODE, words)), "on")


def _of_guests(words: Sequence[str]) -> Goal:
    *names, last = words
    if len(names) > 1 and names[-1] == CONSOLE:
        return Goal(tuple(map(GUEST, names[:-1])), CONSOLE, _expression(last))
    if names and last == CONSOLE:
        raise ValueError("after 'console' comes a regular expression, with '--' right before it if it begins with '-'")
    if not names or last not in GUEST_STATES:
        raise ValueError("the last word has to be running, off, ip, ssh, or console and REGEX")
    return Goal(tuple(map(GUEST, names)), last)


def _expression(text: str) -> "Regex":
    # What only this goal needs: Tab and all other lines do without it.
    from mclu_shell.cloud.console.regex import Regex

    expression = Regex(text)
    if expression.is_in(""):
        raise ValueError(f"the regular expression '{text}' is found also where nothing is written")
    return expression


def _candidates(spot: Spot) -> Iterable[Candidate]:
    """Names, and after the first of them what they may come to; nothing after that."""
    is_node = spot.options.get("what") == "node"
    states = NODE_STATES if is_node else (*GUEST_STATES, CONSOLE)
    if any(word in states for word in spot.given[1:]):
        return
    yield from (NODE if is_node else GUEST).candidates(spot)
    if spot.given:
        yield from map(Candidate, states)


GOAL = ArgType(str, _candidates)
