"""Arguments of `wait`: names, followed by the condition that all of them must meet."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mclu_shell.argtypes.types import GUEST, NODE, ArgType, Candidate, CompletionContext

if TYPE_CHECKING:
    from mclu_shell.cloud.console.regex import Regex

NODE_STATES = ("on", "off")
GUEST_STATES = ("running", "off", "ip", "ssh")
CONSOLE = "console"
# A longer list makes the progress line harder to read.
_MOST_NAMES = 5
_PHRASES = {
    "on": "to be on",
    "off": "to be off",
    "running": "to run",
    "ip": "to have an address",
    "ssh": "to have an sshd that answers",
}


class WaitRequest(NamedTuple):
    """Names as typed, and the state to reach; `expression` is set if the state is `console`."""

    names: tuple[str, ...]
    state: str
    expression: "Regex | None" = None

    def __str__(self) -> str:
        return f"to write '{self.expression.text}' on the console" if self.expression else _PHRASES[self.state]

    def progress(self, names: Sequence[str]) -> str:
        """Return the progress message for the names still waited for; empty if there are none."""
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return f"waiting for {', '.join(names[:_MOST_NAMES])}{more} {self}" if names else ""


class ParseWaitRequest(argparse.Action):
    """Parse all words into one WaitRequest; the preceding argument `kind` is the kind of names."""

    def __call__(self, parser: argparse.ArgumentParser, args: argparse.Namespace, words: Any, *_more: Any) -> None:
        """Store the request; report invalid words as an error of the parser."""
        try:
            request = _parse_nodes(words) if args.kind == "node" else _parse_guests(words)
        except (ValueError, argparse.ArgumentTypeError) as error:
            parser.error(str(error))
        setattr(args, self.dest, request)


def _parse_nodes(words: Sequence[str]) -> WaitRequest:
    # A single word is a name: a node may be called `on`.
    *names, last = words
    if names and last in NODE_STATES:
        return WaitRequest(tuple(map(NODE, names)), last)
    return WaitRequest(tuple(map(NODE, words)), "on")


def _parse_guests(words: Sequence[str]) -> WaitRequest:
    *names, last = words
    if len(names) > 1 and names[-1] == CONSOLE:
        return WaitRequest(tuple(map(GUEST, names[:-1])), CONSOLE, _parse_regex(last))
    if names and last == CONSOLE:
        raise ValueError("'console' requires a regular expression; if it begins with '-', put '--' before it")
    if not names or last not in GUEST_STATES:
        raise ValueError("the last word must be a condition: running, off, ip, ssh, or console REGEX")
    return WaitRequest(tuple(map(GUEST, names)), last)


def _parse_regex(text: str) -> "Regex":
    # RE2 is loaded for this condition only.
    from mclu_shell.cloud.console.regex import Regex

    regex = Regex(text)
    if regex.is_in(""):
        raise ValueError(f"the regular expression '{text}' matches an empty line")
    return regex


def _complete(context: CompletionContext) -> Iterable[Candidate]:
    """Complete names, and conditions after the first name; nothing follows a condition."""
    is_node = context.options.get("kind") == "node"
    states = NODE_STATES if is_node else (*GUEST_STATES, CONSOLE)
    if any(word in states for word in context.previous[1:]):
        return
    yield from (NODE if is_node else GUEST).complete(context)
    if context.previous:
        yield from map(Candidate, states)


WAIT_REQUEST = ArgType(str, _complete)
