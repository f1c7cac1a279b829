"""The errors that users see: place, fact, remedy, and exit status."""

import shlex
from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from mclu_shell.signals import received_status

# The similarity of names from which one may be a typing error of the other, as difflib recommends.
_MIN_RATIO = 0.6


class MCluError(Exception):
    """An error, printed as one line `PLACE: FACT; REMEDY`, and its details below.

    `status` is mclu's exit status after it: 1 failed, 2 usage. `code` names the kind of error in JSON output.
    """

    code: ClassVar[str] = "failed"
    status = 1

    def __init__(self, fact: str, *, place: str = "", remedy: str = "", guest: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.place = place
        self.remedy = remedy
        # The guest that the error concerns, if it concerns one.
        self.guest = guest
        # Lines that follow the one of the error, such as the last ones of a build.
        self.details: tuple[str, ...] = ()

    def with_context(self, *, fact: str | None = None, place: str | None = None) -> "MCluError":
        """Return a copy of the error with another fact or place."""
        # The constructors of the subclasses differ.
        error = type(self).__new__(type(self))
        error.__dict__.update(self.__dict__)
        error.fact = self.fact if fact is None else fact
        error.place = self.place if place is None else place
        return error

    def about(self, guest: str) -> "MCluError":
        """Return a copy of the error that concerns a guest, unless it names one already."""
        error = self.with_context()
        error.guest = self.guest or guest
        return error

    def __str__(self) -> str:
        message = f"{self.place}: {self.fact}" if self.place else self.fact
        return f"{message}; {self.remedy}" if self.remedy else message


class UsageError(MCluError):
    """The command line is wrong: syntax error, unknown command, bad option or value."""

    code = "usage"
    status = 2


class ConfigError(MCluError):
    """The configuration is missing, unreadable or wrong; `place` is FILE or FILE:LINE."""

    code = "config"
    status = 2


class NotFound(MCluError):
    """No such node, guest, template or alias; the remedy lists similar names."""

    code = "not-found"


class Ambiguous(MCluError):
    """The name matches several guests or nodes, and the command needs one; the remedy shows an unambiguous name."""

    code = "ambiguous"


class Refused(MCluError):
    """The command would do damage, so nothing was changed."""

    code = "refused"


class UncheckedFiles(Refused):
    """Guests of nodes that cannot be queried may use a file that would be deleted."""

    code = "unchecked"

    def __init__(self, fact: str, *, place: str, nodes: tuple[str, ...], guest: str = "") -> None:
        remedy = (
            f"retry when {' and '.join(nodes)} can be checked, or run 'destroy' at the prompt, which keeps the file"
        )
        super().__init__(fact, place=place, remedy=remedy, guest=guest)
        self.nodes = nodes


class Interrupted(MCluError):
    """Interrupted by the user; the fact lists anything that was left unfinished."""

    code = "interrupted"

    def __init__(self, fact: str, *, place: str = "", remedy: str = "", guest: str = "") -> None:
        super().__init__(fact, place=place, remedy=remedy, guest=guest)
        # Ctrl-C, kill and a closed terminal have different exit statuses.
        self.status = received_status()


class OutputError(MCluError):
    """The output could not be written to its file, pipe or terminal."""

    code = "output"


class TemplateError(MCluError):
    """The template is invalid or failed; `place` is the template's name."""

    code = "template"


class Unhealthy(MCluError):
    """`doctor` has found faults; they are among its checks."""

    code = "unhealthy"


class NodeFault(MCluError):
    """A request to a node failed; `place` is the node's name."""

    code = "node-fault"

    # The node's power state, as far as the error shows it: "on", "off" or "unknown".
    power: ClassVar[str] = "on"


class NodeOff(NodeFault):
    """The node does not answer at its address: it is switched off, which is a normal state."""

    code = "node-off"
    power = "off"

    def __init__(self, node: str) -> None:
        super().__init__("is off", place=node, remedy=f"run 'on {node}'")


class Unreachable(NodeFault):
    """The node cannot be reached (no address, no route, no jump host), so its state is unknown."""

    code = "unreachable"
    power = "unknown"


class SSHFault(NodeFault):
    """The node is on, but the SSH login failed."""

    code = "ssh-fault"


class SSHRefused(SSHFault):
    """The login was refused for a reason that retrying cannot fix."""

    code = "ssh-refused"


class HostKeyChanged(SSHRefused):
    """The node's host key differs from the one in known_hosts: possibly a man-in-the-middle attack."""

    code = "host-key-changed"


class SSHDown(SSHFault):
    """The node is on, but sshd does not answer: connection refused, or no SSH banner."""

    code = "ssh-silent"


class PromptRequired(SSHRefused):
    """ssh would prompt for the login, which only the interactive shell does."""

    code = "needs-answer"


class HostKeyUnknown(PromptRequired):
    """The node's host key is in no known_hosts file."""

    code = "host-key-unknown"


class CommandsRefused(SSHFault):
    """The login succeeded, but no command can run on the node."""

    code = "no-commands"


class Question(NamedTuple):
    """A question of ssh for the user; a notice, such as to touch a security key, needs no reply."""

    text: str
    is_secret: bool = False
    is_notice: bool = False


class LibvirtFault(NodeFault):
    """The SSH login succeeded, but libvirtd reported an error."""

    code = "libvirt-fault"


class LibvirtDown(LibvirtFault):
    """libvirtd is not running, or does not respond."""

    code = "libvirt-down"

    def __init__(
        self, fact: str, *, place: str = "", remedy: str = "", is_stopped: bool = False, is_slow: bool = False
    ) -> None:
        """Create the error.

        `is_stopped`: libvirtd is not running, so that all earlier requests have ended. `is_slow`: it answered others.
        """
        super().__init__(fact, place=place, remedy=remedy)
        self.is_stopped = is_stopped
        self.is_slow = is_slow


class ConnectionLost(NodeFault):
    """The connection to the node ended during a request."""

    code = "link-lost"
    power = "unknown"


class NodeBusy(NodeFault):
    """Another request to the node is still running."""

    code = "busy"

    def __init__(self, node: str, fact: str) -> None:
        super().__init__(fact, place=node, remedy="try again in a moment")


def quoted_command(*words: str) -> str:
    """Return a command for an error message, quoted so that it can be pasted into a shell or the prompt."""
    line = shlex.join(words)
    # Quotes around a line that has quotes itself would end at the first of these.
    return line if "'" in line else f"'{line}'"


def format_alternatives(words: Sequence[str]) -> str:
    """Return words as an enumeration, such as "a, b or c"."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the remedy "did you mean …?" with the names most similar to `name`, or an empty string.

    Names that are equally similar keep their order.
    """
    # difflib takes 8 ms to import, and only a mistyped name needs it.
    from difflib import SequenceMatcher

    similarity = {candidate: SequenceMatcher(None, candidate, name).ratio() for candidate in names}
    best = max(similarity.values(), default=0.0)
    # A candidate that is much less similar than the best one is noise.
    matches = [candidate for candidate, ratio in similarity.items() if ratio >= _MIN_RATIO and ratio > best - 0.15]
    matches.sort(key=lambda candidate: -similarity[candidate])
    return f"did you mean {format_alternatives([*map(quoted_command, matches[:3])])}?" if matches else ""
