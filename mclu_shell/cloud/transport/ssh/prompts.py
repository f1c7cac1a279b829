"""Questions for the user during a login: an unknown host key, a key's passphrase, a password.

A login that needs a reply fails with the question in its error. The interactive shell asks it and retries the login,
which finds the reply in the Credentials.
"""

import contextlib
from pathlib import Path

import paramiko

from mclu_shell.cloud.transport.credentials import Credentials
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.known_hosts import listed_name
from mclu_shell.errors import InvalidReply, MCluError, Question


def passphrase_question(file: Path, credentials: Credentials) -> Question:
    """Return the question for the passphrase of a key file."""

    def answer(passphrase: str) -> bool:
        with contextlib.suppress(paramiko.SSHException, ValueError, OSError):
            credentials.keys[file] = paramiko.PKey.from_path(file, passphrase.encode())  # type: ignore[arg-type]
        return file in credentials.keys

    return Question(f"Passphrase for the key {file}: ", answer, is_secret=True)


def password_question(target: Target, credentials: Credentials) -> Question:
    """Return the question for a password; the next login checks it."""

    def answer(password: str) -> bool:
        credentials.passwords[target.password_key] = password
        return True

    return Question(f"Password of {target.user} on {target.node}: ", answer, is_secret=True)


def host_key_question(target: Target, key: paramiko.PKey) -> Question:
    """Return the question whether to trust a host key; as with ssh, the reply is yes, no or the fingerprint."""
    kind = key.get_name().removeprefix("ssh-").upper()
    place = target.node if target.host == target.node else f"{target.node} ({target.host})"
    text = (
        f"The host key of {place} is not known:\n"
        f"{kind} {key.fingerprint}\n"
        "Is this its key? Type yes, no, or the fingerprint: "
    )

    def answer(reply: str) -> bool:
        reply = reply.strip()
        if reply.lower() == "no":
            return False
        if reply.lower() != "yes" and reply != key.fingerprint:
            raise InvalidReply("Answer yes, no, or the fingerprint.")
        _save_host_key(target, key)
        return True

    return Question(text, answer)


def _save_host_key(target: Target, key: paramiko.PKey) -> None:
    """Append a key to the first known_hosts file that ssh reads for the host, as ssh does."""
    if not target.known_hosts:
        raise MCluError("cannot save its host key: no known_hosts file is configured", place=target.node)
    file = target.known_hosts[0]
    name = target.host_key_name or listed_name(target.host, target.port)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("a+b") as lines:
            # An editor may have left the last line without a newline.
            if lines.tell() and not file.read_bytes().endswith(b"\n"):
                lines.write(b"\n")
            lines.write(f"{name} {key.get_name()} {key.get_base64()}\n".encode())
    except OSError as error:
        raise MCluError(f"cannot save the host key: {error.strerror}", place=str(file)) from error
