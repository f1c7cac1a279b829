"""A cloud from its configuration: real nodes, those of an open shell, or simulated ones."""

import atexit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.transport.base import Transport
from mclu_shell.cloud.transport.credentials import Credentials
from mclu_shell.cloud.transport.runtime_dir import RunDirectory, socket_name
from mclu_shell.config import Config, NodeConfig

if TYPE_CHECKING:
    from mclu_shell.cloud.sharing.client import SharedEndpoint
    from mclu_shell.cloud.transport.openssh.config import SSHConfig


class TransportFactory:
    """Makes them for all nodes of a cloud, which share what is read of the user's SSH configuration."""

    def __init__(self) -> None:
        self._ssh_config: SSHConfig | None = None
        self._credentials = Credentials()

    def make(self, node: NodeConfig, path: Path) -> Transport:
        """The way that a node's configuration asks for; `path` is for its socket here."""
        if node.via == "local":
            from mclu_shell.cloud.transport.local import LocalTransport

            return LocalTransport(node, path)
        from mclu_shell.cloud.transport.openssh.config import SSHConfig
        from mclu_shell.cloud.transport.remote import SSHTransport

        self._ssh_config = self._ssh_config or SSHConfig()
        return SSHTransport(node, path, self._ssh_config, self._credentials)


def demo_nodes(config: Config, directory: Path) -> list[Node]:
    """One node on, with two guests, and the others off."""
    return [_demo_node(node, directory, is_on=node is config.nodes[0]) for node in config.nodes]


def _demo_node(node: NodeConfig, directory: Path, *, is_on: bool) -> Node:
    images = directory / node.name
    images.mkdir()
    # What runs here on behalf of the node must not reach this machine's own libvirt.
    node = node._replace(images=str(images), uri="")
    from mclu_shell.cloud.transport.simulated import SimulatedTransport

    return Node(node, SimulatedTransport(node, is_on=is_on))


def open_cloud(
    config: Config, make_nodes: Callable[[Config, Path], list[Node]] | None = None, *, borrow: bool = False
) -> Cloud:
    """A cloud from its configuration, with a private directory for its sockets that goes with the process.

    With `borrow`, the connections of an open shell are used where there is one.
    """
    directory = RunDirectory()
    if make_nodes:
        nodes = make_nodes(config, directory.path)
    else:
        nodes = _real_nodes(config, directory, _shared(config, directory) if borrow else {})
    # What is simulated is gone with this process.
    cloud = Cloud(nodes, directory, None if make_nodes else config)
    atexit.register(cloud.close)
    return cloud


def _real_nodes(config: Config, directory: RunDirectory, shared: "dict[str, SharedEndpoint]") -> list[Node]:
    ways = TransportFactory()
    own = [partial(_make_own, ways, node, directory, i) for i, node in enumerate(config.nodes)]
    return [_node(node, own[i], shared.get(node.name)) for i, node in enumerate(config.nodes)]


def _make_own(ways: TransportFactory, node: NodeConfig, directory: RunDirectory, number: int) -> Transport:
    return ways.make(node, directory.path / socket_name(number))


def _node(node: NodeConfig, make_own: Callable[[], Transport], shared: "SharedEndpoint | None") -> Node:
    if shared is None:
        return Node(node, make_own())
    from mclu_shell.cloud.sharing.node import SharedNode
    from mclu_shell.cloud.sharing.transport import SharedTransport

    return SharedNode(node, SharedTransport(node, shared.libvirt, make_own), shared.shell)


def _shared(config: Config, directory: RunDirectory) -> "dict[str, SharedEndpoint]":
    if not (others := directory.others()):
        return {}
    # It takes some milliseconds to import, and mostly there is no other shell.
    from mclu_shell.cloud.sharing.client import find_shared

    return find_shared(config, others)
