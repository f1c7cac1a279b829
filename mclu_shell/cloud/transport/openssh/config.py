"""The user's SSH configuration of a node, as `ssh -G` evaluates it."""

import logging
import math
import os
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.transport.openssh.host_blocks import HostBlocks, read_host_blocks
from mclu_shell.cloud.transport.openssh.paramiko_support import unsupported_options
from mclu_shell.config import NodeConfig
from mclu_shell.errors import Unreachable, quoted_command
from mclu_shell.parsing.limits import is_count
from mclu_shell.user_paths import expand_ssh_home, find_ssh_home, user_name

if TYPE_CHECKING:
    from collections.abc import Hashable

_log = logging.getLogger(__name__)

# Cache ssh's output this long; afterwards the user may have edited the configuration.
_FRESH_S = 5.0
_SSH_TIMEOUT_S = 5.0


class Algorithms(NamedTuple):
    """The algorithms that the configuration allows, by preference, and the least size of an RSA key in bits."""

    ciphers: tuple[str, ...]
    key_exchange: tuple[str, ...]
    macs: tuple[str, ...]
    host_keys: tuple[str, ...]
    public_keys: tuple[str, ...]
    least_rsa_bits: int
    # False if the kinds of host key that known_hosts has come first, as in ssh without HostKeyAlgorithms.
    keeps_host_key_order: bool = False


class Target(NamedTuple):
    """The address and options of a login (ssh_config(5))."""

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
    algorithms: Algorithms
    # Options that a login with paramiko would not honour.
    unsupported: tuple[str, ...] = ()
    # The options of mclu.conf that `ssh` needs beside USER@NODE for the same login by hand.
    options: tuple[str, ...] = ()
    # All words for the same login by ssh: options, and the name.
    words: tuple[str, ...] = ()
    # The socket of the user's own shared connection (ControlPath), of one node of its group.
    control_path: str = ""

    @property
    def login(self) -> str:
        """The ssh command for the same login by hand, quoted for messages."""
        return quoted_command("ssh", *self.options, f"{self.user}@{self.node}")

    @property
    def proxy(self) -> str:
        """The shell command that carries the connection, or empty; OpenSSH itself connects through jump hosts."""
        if not self.jump:
            return _expand(self.proxy_command, self._tokens())
        return self.jump_command("-o", "BatchMode=yes")

    def jump_command(self, *options: str) -> str:
        """Return the command that connects through the jump hosts, whose messages show how far it has come."""
        *through, last = self.jump.split(",")
        # As a shared connection, it would carry the user's other sessions.
        words = ["ssh", *options, "-o", "ControlMaster=no", "-o", "LogLevel=DEBUG2", "-W", f"[{self.host}]:{self.port}"]
        words += ["-J", ",".join(through)] if through else []
        return shlex.join([*words, "--", last if "://" in last else f"ssh://{last}"])

    def paths(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Return file names of the configuration with their tokens, variables and `~` expanded."""
        return tuple(
            Path(expand_ssh_home(_expand(_expand_variables(name), self._tokens()))) for name in names if name != "none"
        )

    def _tokens(self) -> dict[str, str]:
        """Return the percent tokens and their values (ssh_config(5), TOKENS)."""
        tokens = {"%%": "%", "%h": self.host, "%p": str(self.port), "%r": self.user, "%n": self.node}
        tokens |= {"%d": str(find_ssh_home()), "%u": user_name(), "%i": str(os.getuid()), "%j": self.jump}
        host = socket.gethostname()
        return tokens | {"%k": self.host_key_name or self.node, "%l": host, "%L": host.partition(".")[0]}


class SSHConfig:
    """The user's SSH configuration; one `ssh -G` serves all nodes that it does not distinguish."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[Hashable, Future[Target]] = {}
        self._blocks = HostBlocks((), simple=False)
        self._read_at = -math.inf

    def resolve(self, node: NodeConfig) -> Target:
        """Return the target of a node: mclu.conf first, then the user's SSH configuration, then ssh's defaults."""
        future, is_first = self._group(node)
        if is_first:
            try:
                future.set_result(_run_ssh(node))
            except BaseException as error:  # noqa: BLE001
                # The group's other threads wait for the result.
                future.set_exception(error)
        try:
            target = _for_node(future.result(), node)
        except Unreachable as fault:
            raise fault.with_context(place=node.name) from fault
        return target._replace(
            algorithms=target.algorithms._replace(keeps_host_key_order=self._blocks.orders_host_keys)
        )

    def control_path(self, node: NodeConfig) -> Path:
        """Return the socket of the user's own shared connection to a node (ssh_config(5), ControlPath)."""
        # It depends on the node's name, so the result for its group does not serve.
        return Path(_run_ssh(node).control_path)

    def _group(self, node: NodeConfig) -> tuple[Future[Target], bool]:
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                self._groups, self._blocks, self._read_at = {}, read_host_blocks(), time.monotonic()
            # ssh's output depends on its command line and on the blocks that match the name.
            options = (node.user, node.port, node.identity, node.address is None)
            group = (*options, self._blocks.group_of(node.name))
            is_first = group not in self._groups
            return self._groups.setdefault(group, Future()), is_first


def _for_node(target: Target, node: NodeConfig) -> Target:
    """Return the group's target with the node's own name, address and options."""
    is_plain = target.host == target.node.lower()
    host = node.address or (node.name.lower() if is_plain else target.host)
    options = ["-o", f"HostName={node.address}"] if node.address else []
    options += ["-p", str(node.port)] if node.port else []
    options += ["-i", node.identity] if node.identity else []
    words = (*target.words, *_ssh_options(node), "--", node.name)
    return target._replace(node=node.name, host=host, options=tuple(options), words=words)


def _run_ssh(node: NodeConfig) -> Target:
    started = time.perf_counter()
    # Without -N, ssh rejects ForkAfterAuthentication here.
    command = ["ssh", "-G", "-N", *_ssh_options(node), "--", node.name]
    try:
        completed = subprocess.run(
            command,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_SSH_TIMEOUT_S,
            text=True,
            errors="surrogateescape",
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            "ssh -G timed out", place=node.name, remedy="check the 'Match exec' lines of your SSH configuration"
        ) from None
    except FileNotFoundError:
        raise Unreachable(
            "ssh is not installed on this machine", place=node.name, remedy="install the OpenSSH client"
        ) from None
    except OSError as error:
        raise Unreachable(f"cannot run ssh: {error.strerror}", place=node.name) from error
    if completed.returncode != 0:
        # The first line has the file and line of the error.
        lines = completed.stderr.strip().splitlines()
        message = f"ssh: {lines[0] if lines else 'ssh -G failed'}"
        remedy = f"run {quoted_command(*command)} to see why"
        if "No user exists for uid" in message:
            remedy = "add the user to /etc/passwd: ssh works only for users with an entry"
        raise Unreachable(message, place=node.name, remedy=remedy)
    _log.debug("%s: %s: %.1f ms", node.name, shlex.join(command), (time.perf_counter() - started) * 1000)
    return parse_settings(node, completed.stdout)


def _ssh_options(node: NodeConfig) -> list[str]:
    """Return the settings of mclu.conf as options of ssh."""
    # The scope of an IPv6 address (fe80::1%eth0) is not a token, and a blank is part of a file name.
    options: dict[str, str | int | None] = {
        "HostName": node.address and node.address.replace("%", "%%"),
        "User": node.user,
        "Port": node.port,
        "IdentityFile": node.identity and _quoted(node.identity),
        "IdentitiesOnly": "yes" if node.identity else None,
    }
    return [word for key, value in options.items() if value is not None for word in ("-o", f"{key}={value}")]


def _quoted(value: str) -> str:
    """Quote one argument of ssh's configuration (ssh_config(5): in double quotes)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_settings(node: NodeConfig, output: str) -> Target:
    """Read the output of ssh -G; raise Unreachable if it has an invalid number."""
    settings: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key, []).append(value)

    def one(key: str, default: str = "") -> str:
        return settings.get(key, [default])[0]

    plain = Target(
        node=node.name,
        host=one("hostname", node.name).lower(),
        port=_number(node, one("port", "22")),
        user=one("user", user_name()),
        identities=(),
        identities_only=one("identitiesonly") == "yes",
        agent=_agent(one("identityagent")),
        known_hosts=(),
        host_key_name=one("hostkeyalias"),
        proxy_command=one("proxycommand").removeprefix("none"),
        jump=one("proxyjump").removeprefix("none"),
        algorithms=_algorithms(settings, _number(node, one("requiredrsasize", "0"))),
        unsupported=unsupported_options(settings),
        # Versions before 8.7 do not know the option.
        words=("-o", "ForkAfterAuthentication=no") if one("forkafterauthentication") == "yes" else (),
        control_path=one("controlpath").removeprefix("none"),
    )
    known_hosts = one("userknownhostsfile").split() + one("globalknownhostsfile").split()
    return plain._replace(
        identities=plain.paths(settings.get("identityfile", [])),
        known_hosts=plain.paths(known_hosts),
    )


def _number(node: NodeConfig, value: str) -> int:
    if not is_count(value):
        raise Unreachable(f"ssh -G printed {value[:40]!r} instead of a number", place=node.name)
    return int(value)


def _algorithms(settings: Mapping[str, Sequence[str]], least_rsa_bits: int) -> Algorithms:
    names = ("ciphers", "kexalgorithms", "macs", "hostkeyalgorithms", "pubkeyacceptedalgorithms")
    ciphers, key_exchange, macs, host_keys, public_keys = (
        tuple(settings.get(name, [""])[0].split(",")) for name in names
    )
    return Algorithms(ciphers, key_exchange, macs, host_keys, public_keys, least_rsa_bits)


def _expand(text: str, tokens: dict[str, str]) -> str:
    """Expand percent tokens in one pass, so that their values are not expanded again."""
    return re.sub("%.", lambda match: tokens.get(match[0], match[0]), text)


def _expand_variables(name: str) -> str:
    """Expand environment variables in a file name, as `${NAME}`."""
    return re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], ""), name)


def _agent(setting: str) -> str:
    """Return the path of the agent's socket, or empty (ssh_config(5), IdentityAgent)."""
    if setting in ("", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK", "")
    if setting == "none":
        return ""
    return os.environ.get(setting[1:], "") if setting.startswith("$") else expand_ssh_home(setting)
