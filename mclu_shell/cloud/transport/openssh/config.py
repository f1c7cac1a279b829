"""What OpenSSH itself would do to reach a node: `ssh -G`, so that the user's own SSH configuration counts."""

import getpass
import logging
import math
import os
import re
import shlex
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.transport.openssh.host_blocks import HostBlocks, read_host_blocks
from mclu_shell.config import NodeConfig
from mclu_shell.errors import Unreachable, quoted_command

if TYPE_CHECKING:
    from collections.abc import Hashable

_log = logging.getLogger(__name__)

# For so long an answer of ssh's is used again; then the user may have edited the configuration.
_FRESH_S = 5.0
_SSH_TIMEOUT_S = 5.0


class Target(NamedTuple):
    """Where and how to log in (ssh_config(5))."""

    node: str
    host: str
    port: int
    user: str
    identities: tuple[Path, ...]
    identities_only: bool
    agent: str
    known_hosts: tuple[Path, ...]
    host_key_name: str
    proxy_command: str
    jump: str

    # What `ssh` must be told beside USER@NODE to do the same, because mclu.conf says it.
    options: tuple[str, ...] = ()

    @property
    def login(self) -> str:
        """What the user would type to log in by hand, as messages show it."""
        return quoted_command("ssh", *self.options, f"{self.user}@{self.node}")

    @property
    def proxy(self) -> str:
        """A shell command that carries the connection, or empty: OpenSSH itself takes the jumps, with all it can."""
        if not self.jump:
            return "exec " + _expand(self.proxy_command, self._tokens()) if self.proxy_command else ""
        *through, last = self.jump.split(",")
        words = ["exec", "ssh", "-o", "BatchMode=yes", "-o", "LogLevel=DEBUG2", "-W", f"[{self.host}]:{self.port}"]
        words += ["-J", ",".join(through)] if through else []
        return shlex.join([*words, "--", last if "://" in last else f"ssh://{last}"])

    def paths(self, names: list[str]) -> tuple[Path, ...]:
        """File names of the configuration, with their tokens and `~` replaced."""
        return tuple(Path(_expand(name, self._tokens())).expanduser() for name in names)

    def _tokens(self) -> dict[str, str]:
        """ssh_config(5), TOKENS."""
        tokens = {"%%": "%", "%h": self.host, "%p": str(self.port), "%r": self.user, "%n": self.node}
        tokens |= {"%d": str(Path.home()), "%u": getpass.getuser(), "%i": str(os.getuid())}
        return tokens | {"%k": self.host_key_name or self.node}


class SSHConfig:
    """The user's SSH configuration, asked once for all nodes that it cannot tell apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[Hashable, Future[Target]] = {}
        self._blocks = HostBlocks((), simple=False)
        self._read_at = -math.inf

    def resolve(self, node: NodeConfig) -> Target:
        """The target of a node: mclu.conf first, then the user's SSH configuration, then ssh's defaults."""
        future, is_first = self._group(node)
        if is_first:
            try:
                future.set_result(_ask_ssh(node))
            except BaseException as error:  # noqa: BLE001
                # Whatever it is: the others of the group wait for it.
                future.set_exception(error)
        try:
            return _for_node(future.result(), node)
        except Unreachable as fault:
            raise fault.with_context(place=node.name) from fault

    def _group(self, node: NodeConfig) -> tuple[Future[Target], bool]:
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                self._groups, self._blocks, self._read_at = {}, read_host_blocks(), time.monotonic()
            # All that ssh is told on its command line, and what it makes of the name.
            told = (node.user, node.port, node.identity, node.address is None)
            group = (*told, self._blocks.group_of(node.name))
            is_first = group not in self._groups
            return self._groups.setdefault(group, Future()), is_first


def _for_node(target: Target, node: NodeConfig) -> Target:
    """A target of the node's group, made the node's own."""
    is_plain = target.host == target.node.lower()
    host = node.address or (node.name.lower() if is_plain else target.host)
    options = ["-o", f"HostName={node.address}"] if node.address else []
    options += ["-p", str(node.port)] if node.port else []
    options += ["-i", node.identity] if node.identity else []
    return target._replace(node=node.name, host=host, options=tuple(options))


def _ask_ssh(node: NodeConfig) -> Target:
    started = time.perf_counter()
    command = _command(node)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=_SSH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            "ssh -G does not end", place=node.name, remedy="is there a 'Match exec' that hangs?"
        ) from None
    except FileNotFoundError:
        raise Unreachable("ssh is not installed here", place=node.name, remedy="install the OpenSSH client") from None
    except OSError as error:
        raise Unreachable(f"ssh cannot be run: {error.strerror}", place=node.name) from error
    if done.returncode != 0:
        # The first line has file and line; the last one only says that ssh gives up.
        reason = done.stderr.strip().splitlines()
        told = f"ssh: {reason[0] if reason else 'ssh -G failed'}"
        raise Unreachable(told, place=node.name, remedy=f"see what {quoted_command(*command)} says")
    _log.debug("%s: %s: %.1f ms", node.name, shlex.join(command), (time.perf_counter() - started) * 1000)
    return _target(node, done.stdout)


def _command(node: NodeConfig) -> list[str]:
    # A scope in an IPv6 address (fe80::1%eth0) is no token, and a blank in a file's name is part of it.
    options: dict[str, str | int | None] = {
        "HostName": node.address and node.address.replace("%", "%%"),
        "User": node.user,
        "Port": node.port,
        "IdentityFile": node.identity and _quoted(node.identity),
        "IdentitiesOnly": "yes" if node.identity else None,
    }
    command = ["ssh", "-G"]
    for key, value in options.items():
        if value is not None:
            command += ["-o", f"{key}={value}"]
    return [*command, "--", node.name]


def _quoted(value: str) -> str:
    """One word of ssh's configuration (ssh_config(5): arguments may be enclosed in double quotes)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _target(node: NodeConfig, answer: str) -> Target:
    said: dict[str, list[str]] = {}
    for line in answer.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)

    def one(key: str, default: str = "") -> str:
        return said.get(key, [default])[0]

    plain = Target(
        node=node.name,
        host=one("hostname", node.name).lower(),
        port=int(one("port", "22")),
        user=one("user", getpass.getuser()),
        identities=(),
        identities_only=one("identitiesonly") == "yes",
        agent=_agent(one("identityagent")),
        known_hosts=(),
        host_key_name=one("hostkeyalias"),
        proxy_command=one("proxycommand").removeprefix("none"),
        jump=one("proxyjump").removeprefix("none"),
    )
    known_hosts = shlex.split(one("userknownhostsfile")) + shlex.split(one("globalknownhostsfile"))
    return plain._replace(
        identities=plain.paths(said.get("identityfile", [])),
        known_hosts=plain.paths(known_hosts),
    )


def _expand(text: str, tokens: dict[str, str]) -> str:
    """Replace percent tokens in one pass, so that what a value holds is not expanded again."""
    return re.sub("%.", lambda found: tokens.get(found[0], found[0]), text)


def _agent(named: str) -> str:
    """The socket of the agent to ask, or empty (ssh_config(5), IdentityAgent)."""
    if named in ("", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK", "")
    if named == "none":
        return ""
    return os.environ.get(named[1:], "") if named.startswith("$") else str(Path(named).expanduser())
