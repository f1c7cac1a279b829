"""Commands for a node's login shell, which may be any shell and may print anything before them.

Every shell gets the same words, in which none has a special character. They run sh, which reads one line, the command.
The command first prints a word that marks the beginning of its output.
"""

import secrets
import shlex
from collections.abc import Sequence

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.process import Completed
from mclu_shell.errors import CommandsRefused

# sh, csh, rbash and fish agree on what is between the single quotes.
LOADER = """sh -c 'IFS= read -r s; eval "$(printf %b "$s")"'"""
_LONGEST_REASON = 200


class ShellCommand:
    """A command for `LOADER`; `streams` are the descriptors that print the word."""

    def __init__(self, argv: Sequence[str], *, streams: Sequence[int] = (1, 2)) -> None:
        self._word = f"mclu-{secrets.token_hex(8)}"
        marks = "; ".join(f"echo {self._word} >&{stream}" for stream in streams)
        self._script = f"{marks}\n{_body(argv)}"

    @property
    def line(self) -> bytes:
        """The line for the loader's stdin, with escapes for printf's `%b`."""
        text = self._script.replace("\\", "\\0134").replace("\n", "\\n")
        return text.encode(errors="surrogateescape") + b"\n"

    def output(self, data: bytes) -> bytes | None:
        """Return the output after the word; None if the word has not come."""
        _, word, output = data.partition(self._word.encode() + b"\n")
        return output if word else None

    def completed(self, target: Target, status: int, out: bytes, err: bytes) -> Completed:
        """Return the result of the command; raise CommandsRefused if the login shell has not run it."""
        output = self.output(out)
        if status == -1 and not out:
            # The connection has ended.
            output = b""
        if output is None:
            raise self.refusal(target, out + err, status)
        messages = self.output(err)
        return Completed(status, output.decode(errors="replace"), (messages or b"").decode(errors="replace"))

    def refusal(self, target: Target, printed: bytes, status: int) -> CommandsRefused:
        """Return the fault of a login shell that has ended without running the command."""
        lines = [line.strip() for line in printed.decode(errors="replace").splitlines() if line.strip()]
        reason = (
            lines[-1][:_LONGEST_REASON].rstrip(".") if lines else f"the login shell ended with exit status {status}"
        )
        remedy = f"check the login shell of {target.user} there, and ForceCommand in its sshd_config"
        return CommandsRefused(f"cannot run commands: {reason}", place=target.node, remedy=remedy)


def _body(argv: Sequence[str]) -> str:
    if tuple(argv[:2]) == ("sh", "-c"):
        # sh runs the loader already. The word after the script is its $0.
        return f"set -- {shlex.join(argv[4:])}\n{argv[2]}"
    return f"exec {shlex.join(argv)}"


def shell_is_slow(target: Target, timeout_s: float) -> CommandsRefused:
    """Return the fault of a login shell that does not run the command in time."""
    fact = f"cannot run commands: the login shell has not answered in {timeout_s:g} s"
    remedy = f"check the start-up files of {target.user}'s shell there"
    return CommandsRefused(fact, place=target.node, remedy=remedy)
