"""The fault of a login by ssh, from its messages."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.ssh.faults import connection_refused
from mclu_shell.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    NodeFault,
    NodeOff,
    PromptRequired,
    SSHFault,
    SSHRefused,
    Unreachable,
    quoted_command,
)

_OFF = ("No route to host", "Connection timed out", "Host is down", "Operation timed out")
# The second is of a jump host's ssh, which ends after the node's.
_NO_REASON = ("debug", "Killed by signal")
_NO_NAME = "Could not resolve hostname"
# ssh has been refused, or has refused; a retry would be, too.
_REFUSALS = (
    "Permission denied",
    "Host key verification failed",
    "Too many authentication failures",
    "Unable to negotiate",
    "no matching",
    "Bad owner or permissions",
    "Received disconnect",
    "disabled",
    "not allowed",
)
_PROMPTING_METHODS = ("password", "keyboard-interactive")
# sshd has accepted a key, for which ssh has no passphrase or PIN, or whose token is not there.
_LOCKED = re.compile(r"^debug1: Server accepts key: (\S+)", re.MULTILINE)
_OPEN_TO_OTHERS = re.compile(r"^Load key \"(.+)\": bad permissions", re.MULTILINE)
# A file without a public half, such as an encrypted one in the PEM format.
_UNTRIED = re.compile(r"^debug1: Trying private key: (.+)$", re.MULTILINE)
# The file with the reason, for example `~/.ssh/revoked: No such file or directory`.
_UNCHECKED = re.compile(r"^Error checking host key .* in revoked keys file (.+)$", re.MULTILINE)
_KNOWN_AT = re.compile(r"Offending .* key in (\S+)|Offending key in (\S+)")


def login_fault(target: Target, messages: str, *, asks: bool) -> NodeFault:
    """Return the fault of a login that has failed with these messages; `asks` is true if ssh could prompt."""
    lines = [line.strip() for line in messages.splitlines() if line.strip() and not line.startswith(_NO_REASON)]
    last = lines[-1].rstrip(".").removeprefix("ssh: ") if lines else "no message"
    if last.startswith("connect to host"):
        return _connect_fault(target, last)
    if "Host key verification failed" in last:
        return _host_key_fault(target, lines, asks=asks)
    if _NO_NAME in last:
        remedy = "set address= in mclu.conf, or HostName in ~/.ssh/config"
        return Unreachable(
            f"cannot resolve {target.host!r} ({last.rpartition(': ')[2]})", place=target.node, remedy=remedy
        )
    fact = f"ssh: {last}"
    remedy = f"run {target.login}"
    if not any(refusal in last for refusal in _REFUSALS):
        return SSHFault(fact, place=target.node, remedy=remedy)
    if (open_key := _OPEN_TO_OTHERS.search(messages)) is not None:
        fact = f"{fact}, and ssh ignores a key that others can read"
        return SSHRefused(fact, place=target.node, remedy=f"run {quoted_command('chmod', '600', open_key[1])}")
    if not asks and _may_prompt(last, messages):
        needs_word = any(method in last for method in _PROMPTING_METHODS)
        key = None if needs_word else _LOCKED.search(messages)
        remedy = f"run {quoted_command('ssh-add', key[1])}, or" if key else "run"
        return PromptRequired(fact, place=target.node, remedy=f"{remedy} mclu's interactive shell, which prompts")
    return SSHRefused(fact, place=target.node, remedy=remedy)


def _connect_fault(target: Target, message: str) -> NodeFault:
    if "Connection refused" in message:
        return connection_refused(target)
    if any(sign in message for sign in _OFF):
        return NodeOff(target.node)
    reason = message.rpartition(": ")[2].lower()
    return Unreachable(reason, place=target.node, remedy="check this machine's network")


def _host_key_fault(target: Target, lines: Sequence[str], *, asks: bool) -> NodeFault:
    failed = "ssh: Host key verification failed"
    text = "\n".join(lines)
    if "REVOKED HOST KEY" in text or "is revoked" in text:
        return SSHRefused(f"{failed} (this host key is revoked)", place=target.node, remedy="do not trust it")
    if (unchecked := _UNCHECKED.search(text)) is not None:
        remedy = "correct RevokedHostKeys in your SSH configuration"
        return SSHRefused(f"ssh: cannot read {unchecked[1]}", place=target.node, remedy=remedy)
    if "IDENTIFICATION HAS CHANGED" in text or "POSSIBLE DNS SPOOFING" in text:
        return HostKeyChanged(
            f"{failed} (host key has CHANGED)", place=target.node, remedy=_changed_remedy(target, text)
        )
    remedy = f"run {target.login} once to check its key and save it"
    if asks:
        return SSHRefused(f"{failed} (host key not known)", place=target.node, remedy=remedy)
    return HostKeyUnknown(f"{failed} (host key not known)", place=target.node, remedy=remedy)


def _changed_remedy(target: Target, text: str) -> str:
    remedy = "someone may be intercepting the connection; if the node was reinstalled: "
    command = re.search(r"^ *(ssh-keygen -f .* -R .*)$", text, re.MULTILINE)
    name = target.host_key_name or (target.host if target.port == 22 else f"[{target.host}]:{target.port}")
    remove = command[1] if command else quoted_command("ssh-keygen", "-R", name)
    known = _KNOWN_AT.search(text)
    return f"{remedy}{remove}, then {target.login}" + (f" (known key: {known[1] or known[2]})" if known else "")


def _may_prompt(last: str, messages: str) -> bool:
    """Return whether ssh could ask for a password, a passphrase or a PIN instead of failing."""
    if any(method in last for method in _PROMPTING_METHODS) or _LOCKED.search(messages):
        return True
    return any(_is_encrypted(Path(name)) for name in _UNTRIED.findall(messages))


def _is_encrypted(file: Path) -> bool:
    with suppress(OSError):
        return b"ENCRYPTED" in file.read_bytes()
    return False
