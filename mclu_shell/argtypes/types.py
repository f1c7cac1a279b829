"""The kinds of names and values that arguments take: how each is read, and what may be completed there."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mclu_shell.argtypes import completers as candidates
from mclu_shell.argtypes.completers import Candidate as Candidate
from mclu_shell.argtypes.completers import Finder
from mclu_shell.argtypes.completers import Spot as Spot
from mclu_shell.config import NODE_NAME
from mclu_shell.units import format_duration, parse_duration, parse_size


class ArgType:
    """A kind of argument; given to argparse as `type`, so that parsing and completion cannot disagree."""

    def __init__(self, parse: Callable[[str], Any], candidates: Finder) -> None:
        self.parse = parse
        self.candidates = candidates

    def __call__(self, text: str) -> Any:
        """The value of a word; argparse reports the reason if it is none."""
        try:
            return self.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None


_TIMEZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+/-]*")
# libvirt takes more, but a machine that has them would be news to us.
_MOST_VCPUS = 4096
_NODE_PATTERN = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._*?\[\]!-]*")


def _node_pattern(text: str) -> str:
    if not _NODE_PATTERN.fullmatch(text):
        raise ValueError(f"bad node name {text!r}")
    return text


NODE = ArgType(_node_pattern, candidates.nodes())
# What is faulty answers, so it is not off; what is not known yet, or no longer, may be.
NODE_TO_WAKE = ArgType(_node_pattern, candidates.nodes("on", "faulty"))
NODE_TO_SWITCH_OFF = ArgType(_node_pattern, candidates.nodes("off"))


def _guest_pattern(text: str) -> str:
    # Here and below: `status` takes no guest and no template, and need not import what knows them.
    from mclu_shell.cloud.state.guest_name import parse_guest

    if parse_guest(text).host:
        _node_pattern(parse_guest(text).host)
    return text


# [HOST:]GUEST, both with wildcards; `cloud.guests` finds what is meant.
GUEST = ArgType(_guest_pattern, candidates.guests(candidates.any_guest))
RUNNING_GUEST = ArgType(_guest_pattern, candidates.guests(lambda guest: guest.is_active))
STOPPED_GUEST = ArgType(_guest_pattern, candidates.guests(lambda guest: not guest.is_active or guest.state == "paused"))


def _size(text: str) -> int:
    return parse_size(text)


def size_kind(*usual: str) -> ArgType:
    """A size in bytes; the usual ones are offered."""
    return ArgType(_size, lambda _spot: [Candidate(size) for size in usual])


def _new_guest(text: str) -> tuple[str, str]:
    """`[HOST:]NAME` of a guest that is to be made."""
    host, colon, name = text.rpartition(":")
    if colon and not NODE_NAME.fullmatch(host):
        raise ValueError(f"bad node name {host!r}")
    from mclu_shell.cloud.state.guest_name import check_new_name

    return host, check_new_name(name)


NEW_GUEST = ArgType(_new_guest, candidates.nodes_with_room)


def _timezone(text: str) -> str:
    """A time zone's name; what a node knows of it is for the build to say."""
    if not _TIMEZONE.fullmatch(text) or ".." in text:
        raise ValueError(f"bad time zone {text!r}: such as Europe/London or UTC")
    return text


TIMEZONE = ArgType(_timezone, candidates.timezones)
TEMPLATE = ArgType(str, candidates.templates)
TEMPLATE_OR_FILE = ArgType(str, candidates.template_files)
ALIAS = ArgType(str, candidates.aliases)
FILE = ArgType(Path, candidates.files)


def word_kind(*words: str) -> ArgType:
    """One of a few words, which are offered."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return ArgType(parse, lambda _spot: [Candidate(word) for word in words])


def _vcpus(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_VCPUS):
        raise ValueError(f"bad number of virtual CPUs {text!r}: 1 to {_MOST_VCPUS}")
    return int(text)


VCPUS = ArgType(_vcpus, lambda _spot: [Candidate(str(count)) for count in (1, 2, 4, 8)])


def duration_kind(*usual_s: float) -> ArgType:
    """A time; the usual ones are offered."""
    return ArgType(parse_duration, lambda _spot: [Candidate(f"{s:g}", format_duration(s)) for s in usual_s])
