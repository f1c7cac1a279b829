"""What can go wrong, as a user reads it: place, fact, remedy, and the exit status that follows."""

from typing import ClassVar


class MCluError(Exception):
    """One clear line for the user; `status` is the exit status it leads to (spec: 1 failed, 2 usage)."""

    status: ClassVar[int] = 1

    def __init__(self, fact: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        told = f"{self.place}: {self.fact}" if self.place else self.fact
        return f"{told}; {self.remedy}" if self.remedy else told


class UsageError(MCluError):
    """The line itself is wrong: syntax, unknown command, bad option or value."""

    status = 2


class ConfigError(MCluError):
    """The configuration is missing, unreadable or wrong; `place` is FILE:LINE."""

    status = 2


class NotFound(MCluError):
    """What was named does not exist; the remedy lists near misses."""


class Ambiguous(MCluError):
    """What was named can mean several things, and one is needed; the remedy says how to name it."""


class Refused(MCluError):
    """What was asked would do harm, so nothing was done."""


class OutputError(MCluError):
    """The answer could not be written where it should go."""


class TemplateError(MCluError):
    """A template does not keep its contract; `place` is the template's name."""


class NodeFault(MCluError):
    """A node did not answer as it should; `place` is the node, `power` what is known of it all the same."""

    power: ClassVar[str] = "on"


class NodeOff(NodeFault):
    """Nothing answers at the node's address: it is switched off, which is a normal state."""

    power = "off"

    def __init__(self, node: str) -> None:
        super().__init__("is off", place=node, remedy=f"'on {node}' wakes it")


class Unreachable(NodeFault):
    """There is no way to the node, so nothing is known of it (no address, no route, no jump host)."""

    power = "unknown"


class SSHFault(NodeFault):
    """The node is there, but sshd does not let us in."""


class SSHSilent(SSHFault):
    """The machine answers, but no sshd does: refused, or accepted and never greeted."""


class HostKeyUnknown(SSHFault):
    """The node's host key is in no known_hosts file."""


class LibvirtFault(NodeFault):
    """sshd lets us in, but libvirtd does not do what was asked of it."""


class LibvirtDown(LibvirtFault):
    """libvirtd is not running, or does not answer."""


class LinkLost(NodeFault):
    """The connection ended in the middle of a question."""

    power = "unknown"


def near(name: str, known: list[str]) -> str:
    """The remedy "did you mean …?" for a name that is not known, or an empty string."""
    # difflib takes 8 ms to import, and only a mistyped name needs it.
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(repr(word) for word in close)}?" if close else ""
