"""What OpenSSH itself would do to reach a node: `ssh -G`, so that the user's own SSH configuration counts."""

import getpass
import logging
import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mclu_shell.config import NodeConfig
from mclu_shell.errors import SSHFault

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how to log in (ssh_config(5)); `proxy` is a command that carries the connection, or empty."""

    node: str
    host: str
    port: int
    user: str
    identities: tuple[Path, ...]
    identities_only: bool
    agent: str
    known_hosts: tuple[Path, ...]
    host_key_name: str
    proxy: str
    jump: str

    @property
    def login(self) -> str:
        """USER@NODE, as the user would type it after `ssh`."""
        return f"{self.user}@{self.node}"


def resolve(node: NodeConfig) -> Target:
    """The target of a node: mclu.conf first, then the user's SSH configuration, then ssh's defaults."""
    started = time.perf_counter()
    command = _command(node)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise SSHFault("ssh is not installed here", place=node.name, remedy="install the OpenSSH client") from None
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise SSHFault(f"ssh: {reason[-1] if reason else 'ssh -G failed'}", place=node.name)
    _log.debug("%s: %s: %.1f ms", node.name, shlex.join(command), (time.perf_counter() - started) * 1000)
    return _target(node, done.stdout)


def _command(node: NodeConfig) -> list[str]:
    options: dict[str, str | int | None] = {
        "HostName": node.address,
        "User": node.user,
        "Port": node.port,
        "IdentityFile": node.identity,
        "IdentitiesOnly": "yes" if node.identity else None,
    }
    command = ["ssh", "-G"]
    for key, value in options.items():
        if value is not None:
            command += ["-o", f"{key}={value}"]
    return [*command, "--", node.name]


def _target(node: NodeConfig, answer: str) -> Target:
    said: dict[str, list[str]] = {}
    for line in answer.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)

    def one(key: str, default: str = "") -> str:
        return said.get(key, [default])[0]

    host, port, user = one("hostname", node.name), int(one("port", "22")), one("user", getpass.getuser())
    # Percent tokens: ssh_config(5), TOKENS.
    tokens = {"%%": "%", "%h": host, "%p": str(port), "%r": user, "%n": node.name, "%d": str(Path.home())}
    known_hosts = shlex.split(one("userknownhostsfile")) + shlex.split(one("globalknownhostsfile"))
    jump = one("proxyjump", "none")
    return Target(
        node=node.name,
        host=host,
        port=port,
        user=user,
        identities=tuple(_path(_expand(name, tokens)) for name in said.get("identityfile", [])),
        identities_only=one("identitiesonly") == "yes",
        agent=_agent(one("identityagent")),
        known_hosts=tuple(_path(_expand(name, tokens)) for name in known_hosts),
        host_key_name=one("hostkeyalias"),
        proxy=_proxy(one("proxycommand", "none"), jump, host, port, tokens),
        jump="" if jump == "none" else jump,
    )


def _path(name: str) -> Path:
    return Path(name).expanduser()


def _expand(text: str, tokens: dict[str, str]) -> str:
    """Replace percent tokens in one pass, so that what a value holds is not expanded again."""
    return re.sub("%.", lambda found: tokens.get(found[0], found[0]), text)


def _agent(named: str) -> str:
    """The socket of the agent to ask, or empty (ssh_config(5), IdentityAgent)."""
    if named in ("", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK", "")
    if named == "none":
        return ""
    return str(_path(os.environ.get(named[1:], "") if named.startswith("$") else named))


def _proxy(command: str, jump: str, host: str, port: int, tokens: dict[str, str]) -> str:
    """The command that carries the connection: OpenSSH itself takes the jumps, with all that it can."""
    if jump != "none":
        *through, last = jump.split(",")
        words = ["ssh", "-o", "BatchMode=yes", "-o", "LogLevel=VERBOSE", "-W", f"[{host}]:{port}"]
        words += ["-J", ",".join(through)] if through else []
        return shlex.join([*words, "--", last if "://" in last else f"ssh://{last}"])
    return "" if command == "none" else "exec " + _expand(command, tokens)
