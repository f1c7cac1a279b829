"""The lab's one process, pid 1 of the outer namespace: switches nodes on and off, and takes orders on a socket."""

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

from labkit import answers, boot, button, faults, lan
from labkit.errors import LabError
from labkit.node import Node
from labkit.place import Lab

ANSWER_SECONDS = 60
ORDER_SECONDS = 5


@dataclasses.dataclass(slots=True)
class Waiting:
    """Someone who wants to know when nodes answer: still to boot, to ask when all have, and where to write."""

    booting: set[str]
    nodes: list[Node]
    client: socket.socket


@dataclasses.dataclass(slots=True)
class Watching:
    """A client who wants to know when all of these nodes are on, or off, by whatever cause."""

    on: bool
    nodes: list[Node]
    client: socket.socket

    @property
    def fulfilled(self) -> bool:
        """Whether the nodes are now as wanted."""
        return all(bool(node.pid) == self.on for node in self.nodes)


def reply(client: socket.socket, text: str) -> None:
    """Give a client its answer: "ok" or an error text."""
    # The client may have given up.
    with client, contextlib.suppress(OSError):
        client.sendall((text or "ok").encode())
        # Other processes may hold the socket too, and the client waits for its end.
        client.shutdown(socket.SHUT_RDWR)


class Room:
    """The machine room: all nodes, and whoever waits for one."""

    def __init__(self, lab: Lab, nodes: list[Node], listener: socket.socket, parent: int | None) -> None:
        """Take orders from `listener`, and end when the process behind the pidfd `parent` does."""
        self.lab = lab
        self.nodes = {node.name: node for node in nodes}
        self._by_mac = {node.mac: node for node in nodes}
        self._selector = selectors.DefaultSelector()
        self._queue: collections.deque[Node] = collections.deque()
        self._booting: dict[int, Node] = {}
        # More nodes booting at a time than this only wait for each other's turn on the processors.
        self._most_booting = 2 * (os.cpu_count() or 1) + 2
        self._waiting: list[Waiting] = []
        self._watching: list[Watching] = []
        self._ended = False
        self._watch(listener, lambda: self._take_order(listener.accept()[0]))
        watcher = button.watch(lan.BRIDGE)
        self._watch(watcher, lambda: self._see_frame(watcher))
        self._watch(self._children_socket(), self._reap)
        if parent is not None:
            self._watch(parent, self._end)
        self._write_state()

    def serve(self) -> None:
        """Work until the end."""
        while not self._ended:
            self._start_next()
            for key, _ in self._selector.select():
                key.data()

    def _watch(self, what: Any, react: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, react)

    def _children_socket(self) -> int:
        """Return a descriptor that becomes readable when a child has ended."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = read
        return read

    def _end(self) -> None:
        self._ended = True

    # Switching on and off

    def switch_on(self, nodes: list[Node], client: socket.socket) -> None:
        """Press the power buttons; the client hears when these nodes answer, or what went wrong."""
        for node in nodes:
            self._press(node)
        booting = {node.name for node in nodes if node in self._queue or node in self._booting.values()}
        self._waiting.append(Waiting(booting, nodes, client))
        self._ask_who_booted()

    def _press(self, node: Node) -> None:
        """Press a power button, which does nothing to a node that is on."""
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
            self._watch(descriptor, functools.partial(self._see_report, descriptor))
            self._changed()

    def _see_report(self, descriptor: int) -> None:
        text = os.read(descriptor, 4096).decode()
        self._selector.unregister(descriptor)
        os.close(descriptor)
        node = self._booting.pop(descriptor)
        self._booted(node, "" if text == boot.BOOTED else text or f"{node.name}: ended while it booted")

    def _booted(self, node: Node, error: str) -> None:
        """Note that a node has booted, or tell those who wait for it that it did not."""
        for waiting in [waiting for waiting in self._waiting if node.name in waiting.booting]:
            waiting.booting.remove(node.name)
            if error:
                self._waiting.remove(waiting)
                reply(waiting.client, error)
        self._ask_who_booted()

    def _ask_who_booted(self) -> None:
        for waiting in [waiting for waiting in self._waiting if not waiting.booting]:
            self._waiting.remove(waiting)
            self._ask(waiting)

    def _ask(self, waiting: Waiting) -> None:
        """Ask the nodes, in a process of its own, until they answer, and tell the client."""
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            deadline = time.monotonic() + ANSWER_SECONDS
            complaints = (answers.complaint(node, deadline) for node in waiting.nodes if not node.frozen)
            reply(waiting.client, next(filter(None, complaints), ""))
            os._exit(0)
        waiting.client.close()

    def switch_off(self, nodes: list[Node]) -> None:
        """Pull the plugs: the link first, so that nothing of a node's end is heard on the LAN."""
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

    # What happens by itself

    def _reap(self) -> None:
        """Bury ended children. A node that ended is off, or boots anew if it asked the kernel for a reboot."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        by_pid = {node.pid: node for node in self.nodes.values() if node.pid}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if node := by_pid.get(ended[0]):
                    lan.unplug(node.name)
                    self._is_off(node)
                    # reboot(2): the kernel ends pid 1 with SIGHUP to restart and with SIGINT to power off.
                    if os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) == signal.SIGHUP:
                        self._press(node)
        self._changed()

    def _see_frame(self, watcher: socket.socket) -> None:
        # Somebody may have taken the bridge down.
        with contextlib.suppress(OSError):
            for mac in button.macs_in(watcher.recv(2048)):
                if node := self._by_mac.get(mac):
                    self._press(node)

    def _changed(self) -> None:
        """Tell those who wait for it how the nodes are now."""
        self._write_state()
        for watching in [watching for watching in self._watching if watching.fulfilled]:
            self._watching.remove(watching)
            if watching.on:
                self._ask(Waiting(set(), watching.nodes, watching.client))
            else:
                reply(watching.client, "")

    def _write_state(self) -> None:
        lines = (f"{node.name} {node.pid} {node.words}\n" for node in self.nodes.values())
        fresh = self.lab.state.with_suffix(".new")
        fresh.write_text("".join(lines))
        fresh.rename(self.lab.state)

    # Orders

    def _take_order(self, client: socket.socket) -> None:
        """Do what one client asks: a verb, nodes and options in JSON."""
        try:
            client.settimeout(ORDER_SECONDS)
            order = json.loads(client.makefile().readline())
            nodes = self._found(order["nodes"])
            if order["verb"] == "on":
                return self.switch_on(nodes, client)
            if order["verb"] == "wait":
                self._watching.append(Watching(bool(order["options"]["on"]), nodes, client))
                return self._changed()
            self._obey(order["verb"], nodes, order["options"])
        except (LabError, OSError, ValueError, KeyError) as error:
            return reply(client, str(error))
        self._write_state()
        return reply(client, "")

    def _found(self, names: list[str]) -> list[Node]:
        for name in names:
            if name not in self.nodes:
                raise LabError(f"{name}: no such node")
        return [self.nodes[name] for name in names]

    def _obey(self, verb: str, nodes: list[Node], options: dict[str, int]) -> None:
        if verb == "off":
            self.switch_off(nodes)
        for node in nodes:
            faults.inflict(verb, node, options, self.lab.known_hosts)
