"""Construction of a cloud from its configuration: with its own nodes, those of an open shell, or simulated ones."""

import atexit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.transport.base import Transport
from mclu_shell.cloud.transport.local import LocalTransport
from mclu_shell.cloud.transport.runtime_dir import RunDirectory, socket_name
from mclu_shell.cloud.transport.simulated import SimulatedTransport
from mclu_shell.config import Config, NodeConfig

if TYPE_CHECKING:
    from mclu_shell.cloud.sharing.client import SharedEndpoint
    from mclu_shell.cloud.transport.ssh.login import SSHLogin


class TransportFactory:
    """A factory of transports that share the user's SSH configuration and replies."""

    def __init__(self) -> None:
        self._login: SSHLogin | None = None

    def make(self, node: NodeConfig, path: Path) -> Transport:
        """Return the transport of a node by its configuration; `path` is for its local socket."""
        if node.via == "local":
            return LocalTransport(node, path)
        from mclu_shell.cloud.transport.ssh.login import SSHLogin
        from mclu_shell.cloud.transport.ssh.transport import SSHTransport

        self._login = self._login or SSHLogin()
        return SSHTransport(node, path, self._login)


def demo_nodes(config: Config, directory: Path) -> list[Node]:
    """Return simulated nodes: the first is on and runs two guests, the others are off."""
    return [_demo_node(node, directory, is_on=node is config.nodes[0]) for node in config.nodes]


def _demo_node(node: NodeConfig, directory: Path, *, is_on: bool) -> Node:
    images = directory / node.name
    images.mkdir()
    # Without a URI, commands that run here for the node cannot reach this machine's libvirt.
    node = node._replace(images=str(images), uri="")

    return Node(node, SimulatedTransport(node, is_on=is_on))


def open_cloud(
    config: Config, make_nodes: Callable[[Config, Path], list[Node]] | None = None, *, borrow: bool = False
) -> Cloud:
    """Return a cloud with a private directory for its sockets, which is removed at the end of the process.

    `borrow` uses the connections of an open shell, if there is one.
    """
    directory = RunDirectory()
    if make_nodes:
        nodes = make_nodes(config, directory.path)
    else:
        nodes = _real_nodes(config, directory, _shared(config, directory) if borrow else {})
    # The simulated cloud has no cache: it ends with this process.
    cloud = Cloud(nodes, directory, None if make_nodes else config)
    atexit.register(cloud.close)
    return cloud


def _real_nodes(config: Config, directory: RunDirectory, shared: "dict[str, SharedEndpoint]") -> list[Node]:
    factory = TransportFactory()
    paths = [partial(_socket_path, directory, number) for number in range(len(config.nodes))]
    return [_node(node, factory, paths[i], shared.get(node.name)) for i, node in enumerate(config.nodes)]


def _socket_path(directory: RunDirectory, number: int) -> Path:
    return directory.path / socket_name(number)


def _node(
    node: NodeConfig, factory: TransportFactory, make_path: Callable[[], Path], shared: "SharedEndpoint | None"
) -> Node:
    """Return a node with its own connection, or with that of an open shell; the latter makes a path only if needed."""
    if shared is None:
        return Node(node, factory.make(node, make_path()))
    from mclu_shell.cloud.sharing.node import SharedNode
    from mclu_shell.cloud.sharing.transport import SharedTransport

    transport = SharedTransport(node, shared.libvirt, make_path, lambda: factory.make(node, make_path()))
    return SharedNode(node, transport, shared.shell)


def _shared(config: Config, directory: RunDirectory) -> "dict[str, SharedEndpoint]":
    if not (others := directory.others()):
        return {}
    # It imports json, which takes 3 ms that a one-shot without an open shell saves.
    from mclu_shell.cloud.sharing.client import find_shared

    return find_shared(config, others)
