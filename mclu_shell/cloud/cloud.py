"""All nodes together: which are meant, and the same question to each of them at once."""

import contextlib
import fnmatch
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from mclu_shell.cloud.concurrency.fanout import Outcome, gather, in_order
from mclu_shell.cloud.nodes.auth_prompts import retry_after_prompts
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest, NodeReport
from mclu_shell.cloud.state.node_store import Listener
from mclu_shell.cloud.state.snapshot import NodeView, Snapshot
from mclu_shell.cloud.transport.runtime_dir import RunDirectory, socket_paths
from mclu_shell.config import Config
from mclu_shell.errors import NotFound, PromptRequired, Question, did_you_mean

Value = TypeVar("Value")


class Cloud:
    """The nodes, in configuration order. Nothing is asked of them until a question is."""

    def __init__(self, nodes: Iterable[Node], directory: RunDirectory, cache_config: Config | None = None) -> None:
        """`cache_config` is the configuration for which the snapshot is kept from one shell to the next."""
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.directory = directory
        self._cache_config = cache_config
        self._life = contextlib.ExitStack()
        self._changing = threading.Lock()
        self._is_closed = False
        self._is_supervised = False
        if cache_config is not None:
            self._life.callback(self._save_cache, cache_config)
        # Asks a person; None where nobody is there to answer.
        self.asker: Callable[[Question], str | None] | None = None

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

    def query(self, fn: Callable[[Node], Value], nodes: Sequence[Node] | None = None) -> list[Outcome[Node, Value]]:
        """Ask all nodes, or those given, in parallel; an outcome for each, in their order."""
        return list(self.query_in_order(fn, nodes))

    def query_in_order(
        self, fn: Callable[[Node], Value], nodes: Sequence[Node] | None = None
    ) -> Iterator[Outcome[Node, Value]]:
        """The same, but each outcome as soon as it and those before it are there."""
        modules = {module for node in self.nodes for module in node.modules}
        if modules:
            later = () if self._cache_config is None else ("mclu_shell.cloud.state.disk_cache",)
            threading.Thread(target=_import, args=((*modules, *later),), daemon=True).start()
        # Only the main thread has the terminal: what goes on behind the prompt must not take it.
        asker = self.asker if threading.current_thread() is threading.main_thread() else None
        outcomes = in_order(self.nodes if nodes is None else nodes, fn)
        for outcome in outcomes:
            if asker is not None and isinstance(outcome.error, PromptRequired):
                # One answer may open the way to several nodes.
                yield from retry_after_prompts([outcome, *outcomes], fn, asker, self.nodes)
                return
            yield outcome

    def reach(self, nodes: Sequence[Node] | None = None) -> list[Outcome[Node, None]]:
        """Whether the libvirt of nodes answers; the error says why not."""
        return self.query(lambda node: node.query(lambda _client: None), nodes)

    def fetch_guests(
        self, nodes: Sequence[Node] | None = None, *, active: bool | None = None
    ) -> list[Outcome[Node, tuple[Guest, ...]]]:
        """The guests of nodes: running, not running, or (None) all."""
        return self.query(lambda node: node.fetch_guests(active=active), nodes)

    def fetch_reports(self, nodes: Sequence[Node] | None = None) -> list[Outcome[Node, NodeReport]]:
        """What nodes have, and all their guests."""
        return self.query(lambda node: node.fetch_report(), nodes)

    def make_read_only(self) -> None:
        """Let nothing be changed from now on."""
        for node in self.nodes:
            node.is_read_only = True

    def load_cache(self) -> None:
        """Take over what an earlier shell knew of the nodes."""
        from mclu_shell.cloud.state.disk_cache import cache_file, load

        if self._cache_config is None:
            return
        views = {view.name: view for view in load(cache_file(self._cache_config))}
        for node in self.nodes:
            if node.name in views:
                node.store.load_cached(views[node.name])

    def _save_cache(self, config: Config) -> None:
        """Keep what was heard of nodes, unless by an open shell: it keeps that itself."""
        if self._is_supervised:
            return
        asked = [node for node in self.nodes if not node.is_shared]
        # What was done there has changed what was heard before.
        gather([node for node in asked if node.has_changed and node.is_connected], lambda node: node.fetch_guests())
        heard = tuple(node.view for node in asked if node.view.seen_at is not None)
        if heard:
            from mclu_shell.cloud.state.disk_cache import cache_file, save

            save(Snapshot(heard), cache_file(config))

    def supervise(self, changed: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Keep all nodes connected from now on, and the snapshot right.

        `changed` is called after each change of how nodes stand and of their guests, `tell` with what happened
        without being asked for; both by threads that must not be kept waiting.
        """
        with self._changing:
            if not self._is_closed:
                self._start_supervisor(changed, tell)

    def _start_supervisor(self, changed: Callable[[], None], tell: Callable[[str], None]) -> None:
        self._is_supervised = True
        from mclu_shell.cloud.nodes.supervisor import Supervisor
        from mclu_shell.cloud.sharing.server import ShareServer
        from mclu_shell.cloud.state.alerts import Alerts
        from mclu_shell.cloud.state.disk_cache import CacheWriter, cache_file

        listeners: list[Listener] = [Alerts({node.name: node.expected for node in self.nodes}, tell).changed]
        if self._cache_config is not None:
            writer = CacheWriter(lambda: self.snapshot, cache_file(self._cache_config))
            self._life.callback(writer.close)
            listeners.append(lambda _before, _now: writer.changed())
            paths = socket_paths(self._cache_config, self.directory.path)
            # Without it, one-shots connect by themselves.
            with contextlib.suppress(OSError):
                self._life.callback(ShareServer(self._cache_config, self.directory.path, paths, self.nodes).close)
        listeners.append(partial(_if_seen, changed))
        for node in self.nodes:
            node.store.listener = partial(_tell_all, tuple(listeners))
        supervisor = Supervisor(self.nodes)
        self._life.callback(supervisor.close)
        supervisor.start()

    def close(self) -> None:
        """Give up all connections and remove what they needed here."""
        with self._changing:
            self._is_closed = True
            self._life.close()
        for node in self.nodes:
            node.close()
        self.directory.remove()


def _tell_all(listeners: tuple[Listener, ...], before: NodeView, now: NodeView) -> None:
    for listener in listeners:
        listener(before, now)


def _if_seen(changed: Callable[[], None], before: NodeView, now: NodeView) -> None:
    """Tell of a change unless it is of memory alone: each question to a node has that change."""
    if (before.state, before.guests) != (now.state, now.guests):
        changed()


def _import(modules: Iterable[str]) -> None:
    """Import what every node's thread will need, once, while they wait for the network.

    Sixty threads that arrive at the same import fight for the interpreter: it then takes three times as long.
    """
    for module in modules:
        importlib.import_module(module)


def _no_node(pattern: str, names: list[str]) -> NotFound:
    if any(char in pattern for char in "*?["):
        return NotFound(f"no node matches {pattern!r}", remedy=f"there are {_some(names)}")
    return NotFound(f"no such node {pattern!r}", remedy=did_you_mean(pattern, names) or f"there are {_some(names)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" … ({len(names)} in all)" if len(names) > 6 else "") if names else "none"
