"""All nodes together: which are meant, and the same question to each of them at once."""

import atexit
import fnmatch
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from mclu_shell.cloud.access import LocalAccess, SSHAccess
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import Outcome, gather
from mclu_shell.cloud.rundir import RunDirectory
from mclu_shell.cloud.sshconfig import SSHConfig
from mclu_shell.cloud.state import Snapshot
from mclu_shell.config import Config, NodeConfig
from mclu_shell.errors import NotFound, near

Value = TypeVar("Value")


class Cloud:
    """The nodes, in configuration order. Nothing is asked of them until a question is."""

    def __init__(self, nodes: Iterable[Node], directory: RunDirectory) -> None:
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self._directory = directory

    @property
    def snapshot(self) -> Snapshot:
        """What is known now, without asking."""
        return Snapshot(tuple(node.view for node in self.nodes))

    def match(self, patterns: Sequence[str]) -> list[Node]:
        """The nodes that names or wildcards mean, each once, in configuration order; NotFound if one means none."""
        chosen: set[str] = set()
        names = [node.name for node in self.nodes]
        for pattern in patterns:
            found = fnmatch.filter(names, pattern) if pattern not in names else [pattern]
            if not found:
                raise _no_node(pattern, names)
            chosen.update(found)
        return [node for node in self.nodes if node.name in chosen]

    def ask(self, question: Callable[[Node], Value], nodes: Sequence[Node] | None = None) -> list[Outcome[Node, Value]]:
        """Ask all nodes, or those given, in parallel; an outcome for each, in their order."""
        threading.Thread(target=_import_libraries, daemon=True).start()
        return gather(self.nodes if nodes is None else nodes, question)

    def close(self) -> None:
        """Give up all connections and remove what they needed here."""
        for node in self.nodes:
            node.close()
        self._directory.remove()


def _import_libraries() -> None:
    """Import what every node's thread will need, once, while they wait for the network.

    Sixty threads that arrive at the same import fight for the interpreter: it then takes three times as long.
    """
    import mclu_shell.cloud.hypervisor
    import mclu_shell.cloud.link  # noqa: F401


def _no_node(pattern: str, names: list[str]) -> NotFound:
    if any(char in pattern for char in "*?["):
        return NotFound(f"no node matches {pattern!r}", remedy=f"there are {_some(names)}")
    return NotFound(f"no such node {pattern!r}", remedy=near(pattern, names) or f"there are {_some(names)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" … ({len(names)} in all)" if len(names) > 6 else "") if names else "none"


def open_cloud(config: Config, make_nodes: Callable[[Config, Path], list[Node]] | None = None) -> Cloud:
    """A cloud from its configuration, with a private directory for its sockets that goes with the process."""
    directory = RunDirectory()
    cloud = Cloud((make_nodes or _real_nodes)(config, directory.path), directory)
    atexit.register(cloud.close)
    return cloud


def _real_nodes(config: Config, directory: Path) -> list[Node]:
    ssh_config = SSHConfig()
    return [_real_node(node, directory / f"{i}.sock", ssh_config) for i, node in enumerate(config.nodes)]


def _real_node(node: NodeConfig, path: Path, ssh_config: SSHConfig) -> Node:
    return Node(node, LocalAccess(node, path) if node.via == "local" else SSHAccess(node, path, ssh_config))
