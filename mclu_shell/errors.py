"""What can go wrong, as a user reads it: place, fact, remedy, and the exit status that follows."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple


class MCluError(Exception):
    """One clear line for the user; `status` is the exit status it leads to (spec: 1 failed, 2 usage)."""

    code: ClassVar[str] = "failed"
    status: ClassVar[int] = 1

    def __init__(self, fact: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.place = place
        self.remedy = remedy

    def with_context(self, *, fact: str | None = None, place: str | None = None) -> "MCluError":
        """The same error, with another fact or place."""
        # Not by its constructor: each kind's takes what it needs.
        told = type(self).__new__(type(self))
        told.__dict__.update(self.__dict__)
        told.fact = self.fact if fact is None else fact
        told.place = self.place if place is None else place
        return told

    def __str__(self) -> str:
        told = f"{self.place}: {self.fact}" if self.place else self.fact
        return f"{told}; {self.remedy}" if self.remedy else told


class UsageError(MCluError):
    """The line itself is wrong: syntax, unknown command, bad option or value."""

    code = "usage"
    status = 2


class ConfigError(MCluError):
    """The configuration is missing, unreadable or wrong; `place` is FILE:LINE."""

    code = "config"
    status = 2


class NotFound(MCluError):
    """What was named does not exist; the remedy lists near misses."""

    code = "not-found"


class Ambiguous(MCluError):
    """What was named can mean several things, and one is needed; the remedy says how to name it."""

    code = "ambiguous"


class Refused(MCluError):
    """What was asked would do harm, so nothing was done."""

    code = "refused"


class Interrupted(MCluError):
    """The user has interrupted what was under way; what became of it, if that is not as it was."""

    code = "interrupted"
    status = 130


class OutputError(MCluError):
    """The answer could not be written where it should go."""

    code = "output"


class TemplateError(MCluError):
    """A template does not keep its contract; `place` is the template's name."""

    code = "template"


class NodeFault(MCluError):
    """A node did not answer as it should; `place` is the node."""

    code = "node-fault"

    # What is known of it all the same.
    power: ClassVar[str] = "on"


class NodeOff(NodeFault):
    """Nothing answers at the node's address: it is switched off, which is a normal state."""

    code = "node-off"
    power = "off"

    def __init__(self, node: str) -> None:
        super().__init__("is off", place=node, remedy=f"'on {node}' wakes it")


class Unreachable(NodeFault):
    """There is no way to the node, so nothing is known of it (no address, no route, no jump host)."""

    code = "unreachable"
    power = "unknown"


class SSHFault(NodeFault):
    """The node is there, but sshd does not let us in."""

    code = "ssh-fault"


class SSHRefused(SSHFault):
    """It will not be otherwise before a person has changed something: to try again and again is of no use."""

    code = "ssh-refused"


class HostKeyChanged(SSHRefused):
    """The node's host key is another than known_hosts has: somebody may be listening in."""

    code = "host-key-changed"


class SSHSilent(SSHFault):
    """The machine answers, but no sshd does: refused, or accepted and never greeted."""

    code = "ssh-silent"


class NoAnswer(MCluError):
    """What was said does not answer the question: it is asked again, with this as what would."""

    code = "no-answer"


class Question(NamedTuple):
    """What a person has to be asked; `answer` takes what was said, and returns whether that may help, or NoAnswer."""

    text: str
    answer: Callable[[str], bool]
    is_secret: bool = False


class NeedsAnswer(SSHRefused):
    """sshd would let us in if somebody answered a question: it is only asked at the prompt."""

    code = "needs-answer"

    def __init__(self, fact: str, question: Question, *, place: str, remedy: str) -> None:
        super().__init__(fact, place=place, remedy=remedy)
        self.question = question


class HostKeyUnknown(NeedsAnswer):
    """The node's host key is in no known_hosts file."""

    code = "host-key-unknown"


class LibvirtFault(NodeFault):
    """sshd lets us in, but libvirtd does not do what was asked of it."""

    code = "libvirt-fault"


class LibvirtDown(LibvirtFault):
    """libvirtd is not running, or does not answer."""

    code = "libvirt-down"


class LinkLost(NodeFault):
    """The connection ended in the middle of a question."""

    code = "link-lost"
    power = "unknown"


class Busy(NodeFault):
    """Something else is being asked of the node, and for too long."""

    code = "busy"

    def __init__(self, node: str, fact: str) -> None:
        super().__init__(fact, place=node, remedy="try again in a moment")


def typed(*words: str) -> str:
    """A command as messages show it: it can be typed or pasted, whatever its words are."""
    # 1 ms, and only what has gone wrong needs it.
    from shlex import join

    line = join(words)
    # A shell would take quotes around quotes for the end of those within.
    return line if "'" in line else f"'{line}'"


def near(name: str, known: list[str]) -> str:
    """The remedy "did you mean …?" for a name that is not known, or an empty string."""
    # difflib takes 8 ms to import, and only a mistyped name needs it.
    from difflib import SequenceMatcher, get_close_matches

    def likeness(word: str) -> float:
        return SequenceMatcher(None, word, name).ratio()

    close = get_close_matches(name, known, n=3, cutoff=0.6)
    # What is much less like it than the best is noise.
    close = [word for word in close if likeness(word) > likeness(close[0]) - 0.15]
    return f"did you mean {' or '.join(typed(word) for word in close)}?" if close else ""
