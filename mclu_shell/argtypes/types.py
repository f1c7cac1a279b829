"""Types of command arguments: each parses a word, and completes it."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mclu_shell.argtypes import completers
from mclu_shell.argtypes.completers import Candidate as Candidate
from mclu_shell.argtypes.completers import Completer
from mclu_shell.argtypes.completers import CompletionContext as CompletionContext
from mclu_shell.cloud.state.guest_name import check_new_name, has_wildcard, parse_guest
from mclu_shell.config import NODE_NAME, NODE_NAME_RULE, USER
from mclu_shell.units import format_duration, parse_duration, parse_size


class ArgType:
    """A `type` for argparse that also completes, so that parsing and completion agree."""

    def __init__(self, parse: Callable[[str], Any], complete: Completer) -> None:
        self.parse = parse
        self.complete = complete

    def __call__(self, text: str) -> Any:
        """Return the value of a word; raise ArgumentTypeError with the reason if it has none."""
        try:
            return self.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None


_TIMEZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+/-]*")
# A typing error rather than a machine; libvirt itself accepts more.
_MOST_VCPUS = 4096
_NODE_PATTERN = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._*?\[\]!-]*")


def _node_pattern(text: str) -> str:
    if not _NODE_PATTERN.fullmatch(text):
        raise ValueError(f"bad node name {text!r}: use letters, digits, '.', '_', '-' and wildcards")
    return text


NODE = ArgType(_node_pattern, completers.nodes())
# A faulty node answers, so it is not off. A node of unknown state may be off.
NODE_TO_WAKE = ArgType(_node_pattern, completers.nodes("on", "faulty"))
NODE_TO_SWITCH_OFF = ArgType(_node_pattern, completers.nodes("off"))


def _login(text: str) -> tuple[str, str]:
    """Return user and host of `[USER@]HOST`; the user may be empty."""
    user, at, host = text.rpartition("@")
    if not NODE_NAME.fullmatch(host):
        raise ValueError(f"bad host {host!r}: {NODE_NAME_RULE}")
    if at and not USER.fullmatch(user):
        raise ValueError(f"bad user {user!r}: write USER@HOST")
    return user, host


HOST = ArgType(_login, completers.ssh_hosts)


def _guest_pattern(text: str) -> str:
    if parse_guest(text).host:
        _node_pattern(parse_guest(text).host)
    return text


# [HOST:]GUEST, both with wildcards; `cloud.guests` resolves them.
GUEST = ArgType(_guest_pattern, completers.guests(completers.any_guest))
RUNNING_GUEST = ArgType(_guest_pattern, completers.guests(lambda guest: guest.is_active))
STOPPED_GUEST = ArgType(_guest_pattern, completers.guests(completers.startable_guest))


def size(*suggestions: str) -> ArgType:
    """Return the type of a size in bytes, which completes the suggestions."""
    return ArgType(parse_size, lambda _context: [Candidate(text) for text in suggestions])


def _new_guest(text: str) -> tuple[str, str]:
    """Return host and name of a new guest's `[HOST:]NAME`; the host may be empty."""
    host, colon, name = text.rpartition(":")
    if colon and not NODE_NAME.fullmatch(host):
        rule = "must not contain wildcards" if has_wildcard(host) else NODE_NAME_RULE
        raise ValueError(f"bad node name {host!r}: {rule}")
    return host, check_new_name(name)


NEW_GUEST = ArgType(_new_guest, completers.nodes_with_room)


def _timezone(text: str) -> str:
    """Check the form of a time zone's name; the build reports a zone that the node does not have."""
    if not _TIMEZONE.fullmatch(text) or ".." in text:
        raise ValueError(f"bad time zone {text!r}: write a name such as Europe/London or UTC")
    return text


TIMEZONE = ArgType(_timezone, completers.timezones)
TEMPLATE = ArgType(str, completers.templates)
TEMPLATE_OR_FILE = ArgType(str, completers.template_files)
ALIAS = ArgType(str, completers.aliases)
FILE = ArgType(Path, completers.files)


def choice(*words: str) -> ArgType:
    """Return the type of one of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return ArgType(parse, lambda _context: [Candidate(word) for word in words])


def _vcpus(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_VCPUS):
        raise ValueError(f"bad number of virtual CPUs {text!r}: must be 1 to {_MOST_VCPUS}")
    return int(text)


VCPUS = ArgType(_vcpus, lambda _context: [Candidate(str(count)) for count in (1, 2, 4, 8)])


def duration(*suggestions_s: float) -> ArgType:
    """Return the type of a duration in seconds, which completes the suggestions."""
    return ArgType(parse_duration, lambda _context: [Candidate(f"{s:g}", format_duration(s)) for s in suggestions_s])
