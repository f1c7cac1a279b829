"""What only a person can tell: whether a host key is the right one, a key's passphrase, a password.

A login that fails for want of it raises the error of that, with the question. It is asked, if at all, by whoever asked
the node, at the prompt; the answer is kept in memory, and the next login uses it.
"""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.known_hosts import listed_name
from mclu_shell.errors import InvalidReply, MCluError, Question


@dataclass(slots=True)
class _Answers:
    """What was answered in this process: keys by their file, passwords by login."""

    keys: dict[Path, paramiko.PKey] = field(default_factory=dict)
    passwords: dict[tuple[str, str, int], str] = field(default_factory=dict)


_answers = _Answers()


def unlocked_key(file: Path) -> paramiko.PKey | None:
    """The key in a file, if its passphrase was told."""
    return _answers.keys.get(file)


def told_password(target: Target) -> str | None:
    """The password for a login, if it was told."""
    return _answers.passwords.get(_login(target))


def forget_password(target: Target) -> None:
    """It was the wrong one."""
    _answers.passwords.pop(_login(target), None)


def ask_passphrase(file: Path) -> Question:
    """The question for a key's passphrase."""

    def answer(passphrase: str) -> bool:
        with contextlib.suppress(paramiko.SSHException, ValueError, OSError):
            _answers.keys[file] = paramiko.PKey.from_path(file, passphrase.encode())  # type: ignore[arg-type]
        return file in _answers.keys

    return Question(f"Passphrase for the key {file}: ", answer, is_secret=True)


def ask_password(target: Target) -> Question:
    """The question for a password; whether it is right, the next login tells."""

    def answer(password: str) -> bool:
        _answers.passwords[_login(target)] = password
        return True

    return Question(f"Password of {target.user} on {target.node}: ", answer, is_secret=True)


def ask_host_key(target: Target, key: paramiko.PKey) -> Question:
    """The question whether a host key is the right one: `yes`, or the fingerprint itself, as ssh takes it."""
    kind = key.get_name().removeprefix("ssh-").upper()
    place = target.node if target.host == target.node else f"{target.node} ({target.host})"
    text = (
        f"{place} shows a host key that is not known:\n"
        f"{kind} {key.fingerprint}\n"
        "Is that its key? Say yes, no, or what its fingerprint must be: "
    )

    def answer(said: str) -> bool:
        if said.strip().lower() == "no":
            return False
        if said.strip().lower() != "yes" and said.strip() != key.fingerprint:
            raise InvalidReply("That is neither yes, nor no, nor its fingerprint.")
        _keep(target, key)
        return True

    return Question(text, answer)


def _keep(target: Target, key: paramiko.PKey) -> None:
    """Add a key to the user's known_hosts, as ssh does: the first of the files that it reads."""
    if not target.known_hosts:
        raise MCluError("there is no known_hosts file to keep its key in", place=target.node)
    file = target.known_hosts[0]
    name = target.host_key_name or listed_name(target.host, target.port)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("a+b") as lines:
            # Somebody's editor may have left the last line without an end.
            if lines.tell() and not file.read_bytes().endswith(b"\n"):
                lines.write(b"\n")
            lines.write(f"{name} {key.get_name()} {key.get_base64()}\n".encode())
    except OSError as error:
        raise MCluError(f"its key cannot be kept: {error.strerror}", place=str(file)) from error


def _login(target: Target) -> tuple[str, str, int]:
    return (target.user, target.host, target.port)
