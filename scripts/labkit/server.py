"""The lab's one process, pid 1 of the outer namespace: switches nodes on and off, and serves requests on a socket."""

import collections
import contextlib
import dataclasses
import functools
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from labkit import boot, faults, lan, magic_packets, readiness
from labkit.errors import LabError
from labkit.node import Node
from labkit.state_dir import Lab

ANSWER_SECONDS = 60
REQUEST_SECONDS = 5


@dataclasses.dataclass(slots=True)
class Waiting:
    """A client that waits until nodes answer: the names that still boot, and all its nodes."""

    booting: set[str]
    nodes: list[Node]
    client: socket.socket


@dataclasses.dataclass(slots=True)
class Watching:
    """A client that waits until all of these nodes are on, or off."""

    on: bool
    nodes: list[Node]
    client: socket.socket

    @property
    def fulfilled(self) -> bool:
        """True if all nodes are in this state."""
        return all(bool(node.pid) == self.on for node in self.nodes)


def reply(client: socket.socket, text: str) -> None:
    """Send the reply, "ok" or an error text, and close the connection."""
    # The client may be gone.
    with client, contextlib.suppress(OSError):
        client.sendall((text or "ok").encode())
        # Forked processes may still hold the socket, and the client waits for its end.
        client.shutdown(socket.SHUT_RDWR)


class Server:
    """The server of a lab: its nodes, and the clients that wait for them."""

    def __init__(self, lab: Lab, nodes: list[Node], listener: socket.socket, parent: int | None) -> None:
        """Serve requests on `listener`; end with the process of the pidfd `parent`."""
        self.lab = lab
        self.nodes = {node.name: node for node in nodes}
        self._by_mac = {node.mac: node for node in nodes}
        self._selector = selectors.DefaultSelector()
        self._queue: collections.deque[Node] = collections.deque()
        self._booting: dict[int, Node] = {}
        # Booting more nodes at a time is not faster: they would wait for processors.
        self._most_booting = 2 * (os.cpu_count() or 1) + 2
        self._waiting: list[Waiting] = []
        self._watching: list[Watching] = []
        self._ended = False
        self._watch(listener, lambda: self._serve_request(listener.accept()[0]))
        watcher = magic_packets.watch(lan.BRIDGE)
        self._watch(watcher, lambda: self._read_frame(watcher))
        self._watch(self._children_socket(), self._reap)
        if parent is not None:
            self._watch(parent, self._end)
        self._write_state()

    def serve(self) -> None:
        """Serve until the end."""
        while not self._ended:
            self._start_next()
            for key, _ in self._selector.select():
                key.data()

    def _watch(self, source: Any, react: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, react)

    def _children_socket(self) -> int:
        """Return a descriptor that becomes readable when a child ends."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = read
        return read

    def _end(self) -> None:
        self._ended = True

    # Switching on and off

    def switch_on(self, nodes: list[Node], client: socket.socket) -> None:
        """Switch nodes on; reply to the client when they answer, or with an error."""
        for node in nodes:
            self._press(node)
        booting = {node.name for node in nodes if node in self._queue or node in self._booting.values()}
        self._waiting.append(Waiting(booting, nodes, client))
        self._wait_for_booted()

    def _press(self, node: Node) -> None:
        """Press a power button; it has no effect on a node that is on."""
        if not node.pid and node not in self._queue:
            self._queue.append(node)

    def _start_next(self) -> None:
        while self._queue and len(self._booting) < self._most_booting:
            node = self._queue.popleft()
            try:
                descriptor = boot.power_on(node)
            except (LabError, OSError) as error:
                self._booted(node, str(error))
                continue
            self._booting[descriptor] = node
            self._watch(descriptor, functools.partial(self._read_report, descriptor))
            self._changed()

    def _read_report(self, descriptor: int) -> None:
        text = os.read(descriptor, 4096).decode()
        self._selector.unregister(descriptor)
        os.close(descriptor)
        node = self._booting.pop(descriptor)
        self._booted(node, "" if text == boot.BOOTED else text or f"{node.name}: ended while it booted")

    def _booted(self, node: Node, error: str) -> None:
        """Note that a node has booted; on an error, reply to the clients that wait for it."""
        for waiting in [waiting for waiting in self._waiting if node.name in waiting.booting]:
            waiting.booting.remove(node.name)
            if error:
                self._waiting.remove(waiting)
                reply(waiting.client, error)
        self._wait_for_booted()

    def _wait_for_booted(self) -> None:
        for waiting in [waiting for waiting in self._waiting if not waiting.booting]:
            self._waiting.remove(waiting)
            self._wait_until_ready(waiting)

    def _wait_until_ready(self, waiting: Waiting) -> None:
        """Fork a process that waits until the nodes answer and replies to the client."""
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            deadline = time.monotonic() + ANSWER_SECONDS
            complaints = (readiness.complaint(node, deadline) for node in waiting.nodes if not node.frozen)
            reply(waiting.client, next(filter(None, complaints), ""))
            os._exit(0)
        waiting.client.close()

    def switch_off(self, nodes: list[Node]) -> None:
        """Cut the power. Remove the link first, so that no packet of a node's end reaches the LAN."""
        for node in nodes:
            if node in self._queue:
                self._queue.remove(node)
            if node.pid:
                lan.unplug(node.name)
                os.kill(node.pid, signal.SIGKILL)
        for node in nodes:
            if node.pid:
                os.waitpid(node.pid, 0)
                self._is_off(node)
        self._changed()

    def _is_off(self, node: Node) -> None:
        node.pid, node.frozen = 0, ""

    # Events

    def _reap(self) -> None:
        """Reap children. A node that ended is off, or boots again if it called reboot(2) to restart."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        by_pid = {node.pid: node for node in self.nodes.values() if node.pid}
        with contextlib.suppress(ChildProcessError):
            while (child := os.waitpid(-1, os.WNOHANG))[0]:
                if node := by_pid.get(child[0]):
                    lan.unplug(node.name)
                    self._is_off(node)
                    # reboot(2): the kernel ends pid 1 with SIGHUP to restart and with SIGINT to power off.
                    if os.WIFSIGNALED(child[1]) and os.WTERMSIG(child[1]) == signal.SIGHUP:
                        self._press(node)
        self._changed()

    def _read_frame(self, watcher: socket.socket) -> None:
        # A user of the lab may have removed the bridge.
        with contextlib.suppress(OSError):
            for mac in magic_packets.macs_in(watcher.recv(2048)):
                if node := self._by_mac.get(mac):
                    self._press(node)

    def _changed(self) -> None:
        """Write the state, and reply to the clients that wait for it."""
        self._write_state()
        for watching in [watching for watching in self._watching if watching.fulfilled]:
            self._watching.remove(watching)
            if watching.on:
                self._wait_until_ready(Waiting(set(), watching.nodes, watching.client))
            else:
                reply(watching.client, "")

    def _write_state(self) -> None:
        lines = (f"{node.name} {node.pid} {node.words}\n" for node in self.nodes.values())
        fresh = self.lab.state.with_suffix(".new")
        fresh.write_text("".join(lines))
        fresh.rename(self.lab.state)

    # Requests

    def _serve_request(self, client: socket.socket) -> None:
        """Serve one request: a verb, nodes and options in JSON."""
        try:
            client.settimeout(REQUEST_SECONDS)
            request = json.loads(client.makefile().readline())
            nodes = self._find(request["nodes"])
            if request["verb"] == "on":
                return self.switch_on(nodes, client)
            if request["verb"] == "wait":
                self._watching.append(Watching(bool(request["options"]["on"]), nodes, client))
                return self._changed()
            self._apply(request["verb"], nodes, request["options"])
        except (LabError, OSError, ValueError, KeyError) as error:
            return reply(client, str(error))
        self._write_state()
        return reply(client, "")

    def _find(self, names: list[str]) -> list[Node]:
        for name in names:
            if name not in self.nodes:
                raise LabError(f"{name}: no such node")
        return [self.nodes[name] for name in names]

    def _apply(self, verb: str, nodes: list[Node], options: dict[str, int]) -> None:
        if verb == "off":
            self.switch_off(nodes)
        for node in nodes:
            faults.inflict(verb, node, options, self.lab.known_hosts)
