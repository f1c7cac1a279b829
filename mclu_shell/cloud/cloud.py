"""The cloud: all nodes of a configuration, selected by name, and queried in parallel."""

import contextlib
import fnmatch
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from mclu_shell.cloud.concurrency.answers import answer_of
from mclu_shell.cloud.concurrency.fanout import Outcome, gather, in_order
from mclu_shell.cloud.nodes.auth_prompts import retry_after_prompts
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.nodes.supervisor import Supervisor
from mclu_shell.cloud.state.alerts import Alerts
from mclu_shell.cloud.state.guest import Guest, NodeReport
from mclu_shell.cloud.state.node_store import Listener
from mclu_shell.cloud.state.snapshot import NodeView, Snapshot
from mclu_shell.cloud.transport.runtime_dir import RunDirectory, socket_paths
from mclu_shell.config import Config
from mclu_shell.errors import NotFound, PromptRequired, Question, did_you_mean

Value = TypeVar("Value")


class Cloud:
    """The nodes, in configuration order; the constructor does no I/O."""

    def __init__(self, nodes: Iterable[Node], directory: RunDirectory, cache_config: Config | None = None) -> None:
        """Create a cloud; `cache_config` is the configuration whose snapshot is cached on disk, None for no cache."""
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.directory = directory
        self._cache_config = cache_config
        self._cleanup = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_supervised = False
        if cache_config is not None:
            self._cleanup.callback(self._save_cache, cache_config)
        # Shows a prompt to the user and returns the reply; None without a terminal.
        self.asker: Callable[[Question], str | None] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The last known state of all nodes."""
        return Snapshot(tuple(node.view for node in self.nodes))

    def match(self, patterns: Sequence[str]) -> list[Node]:
        """Return the nodes that match names or wildcards, in configuration order; raise NotFound for no match."""
        chosen: set[str] = set()
        names = [node.name for node in self.nodes]
        for pattern in patterns:
            matches = fnmatch.filter(names, pattern) if pattern not in names else [pattern]
            if not matches:
                raise _no_node(pattern, names)
            chosen.update(matches)
        return [node for node in self.nodes if node.name in chosen]

    def query(self, fn: Callable[[Node], Value], nodes: Sequence[Node] | None = None) -> list[Outcome[Node, Value]]:
        """Call `fn` for all nodes, or those given, in parallel; return the outcomes in the order of the nodes."""
        return list(self.query_in_order(fn, nodes))

    def query_in_order(
        self, fn: Callable[[Node], Value], nodes: Sequence[Node] | None = None
    ) -> Iterator[Outcome[Node, Value]]:
        """Do the same, but yield each outcome as early as possible."""
        fn = partial(_query_node, fn)
        modules = dict.fromkeys(module for node in self.nodes for module in node.modules)
        if modules:
            cache = () if self._cache_config is None else ("mclu_shell.cloud.state.disk_cache",)
            threading.Thread(target=_import, args=((*modules, *cache),), daemon=True).start()
        # Only the main thread may prompt: the threads behind the prompt must not take over the terminal.
        asker = self.asker if threading.current_thread() is threading.main_thread() else None
        outcomes = in_order(self.nodes if nodes is None else nodes, fn)
        for outcome in outcomes:
            if asker is not None and isinstance(outcome.error, PromptRequired):
                # One reply may give access to several nodes.
                yield from retry_after_prompts([outcome, *outcomes], fn, asker, self.nodes)
                return
            yield outcome

    def reach(self, nodes: Sequence[Node] | None = None) -> list[Outcome[Node, None]]:
        """Connect to the libvirt of nodes; the outcomes have the errors."""
        return self.query(lambda node: node.query(lambda _client: None), nodes)

    def fetch_guests(
        self, nodes: Sequence[Node] | None = None, *, active: bool | None = None
    ) -> list[Outcome[Node, tuple[Guest, ...]]]:
        """Return the guests of nodes: the running ones, the others, or (None) all."""
        return self.query(lambda node: node.fetch_guests(active=active), nodes)

    def fetch_reports(self, nodes: Sequence[Node] | None = None) -> list[Outcome[Node, NodeReport]]:
        """Return the resources of nodes and all their guests."""
        return self.query(lambda node: node.fetch_report(), nodes)

    def make_read_only(self) -> None:
        """Refuse all changes from now on."""
        for node in self.nodes:
            node.is_read_only = True

    def load_cache(self) -> None:
        """Load the last known state of the nodes from the disk cache."""
        if self._cache_config is None:
            return
        from mclu_shell.cloud.state.disk_cache import cache_file, load

        views = {view.name: view for view in load(cache_file(self._cache_config))}
        for node in self.nodes:
            if node.name in views:
                node.store.load_cached(views[node.name])

    def _save_cache(self, config: Config) -> None:
        """Update the disk cache, except in an open shell, where the CacheWriter does it."""
        if self._is_supervised:
            return
        own = [node for node in self.nodes if not node.is_shared]
        # A change has made their lists of guests outdated.
        gather([node for node in own if node.has_changed and node.is_connected], lambda node: node.fetch_guests())
        views = tuple(node.view for node in own if node.view.seen_at is not None)
        if views:
            from mclu_shell.cloud.state.disk_cache import cache_file, save

            save(Snapshot(views), cache_file(config))

    def supervise(self, on_change: Callable[[], None], on_alert: Callable[[str], None]) -> None:
        """Keep all nodes connected from now on, and the snapshot up to date.

        `on_change` is called after changes of nodes' states and guests, `on_alert` with a message about each change
        that this program did not request. Background threads call them, so they must not block.
        """
        with self._lock:
            if not self._is_closed:
                self._start_supervisor(on_change, on_alert)

    def _start_supervisor(self, on_change: Callable[[], None], on_alert: Callable[[str], None]) -> None:
        self._is_supervised = True
        # They import json, which takes milliseconds that a one-shot without a cache saves.
        from mclu_shell.cloud.sharing.server import ShareServer
        from mclu_shell.cloud.state.disk_cache import CacheWriter, cache_file

        listeners: list[Listener] = [Alerts({node.name: node.expected for node in self.nodes}, on_alert).on_change]
        if self._cache_config is not None:
            writer = CacheWriter(lambda: self.snapshot, cache_file(self._cache_config))
            self._cleanup.callback(writer.close)
            listeners.append(lambda _before, _now: writer.notify())
            paths = socket_paths(self._cache_config, self.directory.path)
            # Without the server, one-shots open their own connections.
            with contextlib.suppress(OSError):
                self._cleanup.callback(ShareServer(self._cache_config, self.directory.path, paths, self.nodes).close)
        listeners.append(partial(_notify_of_change, on_change))
        for node in self.nodes:
            node.store.listener = partial(_call_all, tuple(listeners))
        supervisor = Supervisor(self.nodes)
        self._cleanup.callback(supervisor.close)
        supervisor.start()

    def close(self) -> None:
        """Close all connections and remove the directory of their sockets."""
        with self._lock:
            self._is_closed = True
            self._cleanup.close()
        for node in self.nodes:
            node.close()
        self.directory.remove()


def _call_all(listeners: tuple[Listener, ...], before: NodeView, now: NodeView) -> None:
    for listener in listeners:
        listener(before, now)


def _notify_of_change(on_change: Callable[[], None], before: NodeView, now: NodeView) -> None:
    """Call `on_change` unless only the node's resources differ, which change with each report."""
    if (before.state, before.guests) != (now.state, now.guests):
        on_change()


def _query_node(fn: Callable[[Node], Value], node: Node) -> Value:
    """Call `fn` for a node; any error in it is a fault of this node."""
    with answer_of(node.name):
        return fn(node)


def _import(modules: Iterable[str]) -> None:
    """Import the modules that the nodes' threads will need, while those wait for the network.

    If 60 threads reach an import at once, they compete for the interpreter, and the import takes three times as long.
    """
    # A node's thread imports them as well, and reports the error.
    with contextlib.suppress(ImportError, OSError):
        for module in modules:
            importlib.import_module(module)


def _no_node(pattern: str, names: list[str]) -> NotFound:
    if any(char in pattern for char in "*?["):
        return NotFound(f"no node matches {pattern!r}", remedy=f"there are {_format_names(names)}")
    return NotFound(
        f"no such node {pattern!r}", remedy=did_you_mean(pattern, names) or f"there are {_format_names(names)}"
    )


def _format_names(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" … ({len(names)} in all)" if len(names) > 6 else "") if names else "none"
