"""The hosts that may be nodes: named by the user, or listed in the SSH configuration and in known_hosts."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.transport.openssh.config import SSHConfig
from mclu_shell.cloud.transport.openssh.host_blocks import read_host_blocks
from mclu_shell.cloud.transport.openssh.known_hosts import list_hosts
from mclu_shell.config import NODE_NAME, NodeConfig
from mclu_shell.errors import MCluError
from mclu_shell.user_paths import find_ssh_home

_SYSTEM = Path("/etc/ssh")
_PORT = 22


class Source(StrEnum):
    """The origin of a candidate."""

    FILE = "mclu.conf"
    NAMED = "named"
    SSH = "SSH configuration"
    KNOWN_HOSTS = "known_hosts"


class Candidate(NamedTuple):
    """A host that may be a node, with the settings of its line in mclu.conf."""

    config: NodeConfig
    source: Source

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.config.name


class Candidates(NamedTuple):
    """The candidates, and the number of hashed entries of known_hosts, which cannot be listed."""

    hosts: tuple[Candidate, ...]
    hashed: int = 0


def named_candidates(hosts: Sequence[tuple[str, str]]) -> Candidates:
    """Return the candidates for users and names; the user may be empty."""
    configs = (NodeConfig(name, user=user or None) for user, name in hosts)
    return Candidates(_unique(Candidate(config, Source.NAMED) for config in configs))


def find_candidates(config: SSHConfig) -> Candidates:
    """Return the hosts of the user's SSH configuration, then those of known_hosts."""
    names = [name for name in read_host_blocks().names if NODE_NAME.fullmatch(name)]
    configured = [Candidate(NodeConfig(name), Source.SSH) for name in names]
    listed = list_hosts(_known_hosts(config, configured))
    known = (Candidate(node, Source.KNOWN_HOSTS) for node in _known_nodes(listed.hosts, names))
    return Candidates(_unique([*configured, *known]), listed.hashed)


def host_names() -> dict[str, Source]:
    """Return the names of the candidates for completion, without running ssh."""
    names = dict.fromkeys(read_host_blocks().names, Source.SSH)
    for name, _ in list_hosts([find_ssh_home() / ".ssh/known_hosts"]).hosts:
        names.setdefault(name, Source.KNOWN_HOSTS)
    return {name: source for name, source in names.items() if NODE_NAME.fullmatch(name)}


def _known_hosts(config: SSHConfig, candidates: Sequence[Candidate]) -> list[Path]:
    """Return the user's known_hosts files, which may differ between hosts."""
    files: dict[Path, None] = {}
    for node in (NodeConfig("localhost"), *(candidate.config for candidate in candidates)):
        try:
            target = config.resolve(node)
        except MCluError:
            # The query of the candidate reports it.
            continue
        files |= dict.fromkeys(file for file in target.known_hosts if file.parent != _SYSTEM)
    return list(files)


def _known_nodes(hosts: Iterable[tuple[str, int]], others: Sequence[str]) -> Iterator[NodeConfig]:
    """Yield nodes for names and ports; a name with several ports is several nodes."""
    names = set(others)
    for host, port in hosts:
        if not NODE_NAME.fullmatch(host) or _is_loopback(host):
            continue
        if host not in names:
            names.add(host)
            yield NodeConfig(host, port=None if port == _PORT else port)
        elif port != _PORT and NODE_NAME.fullmatch(name := f"{host}-{port}"):
            yield NodeConfig(name, address=host, port=port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unique(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the first candidate of each name."""
    unique: dict[str, Candidate] = {}
    for candidate in candidates:
        unique.setdefault(candidate.name, candidate)
    return tuple(unique.values())
