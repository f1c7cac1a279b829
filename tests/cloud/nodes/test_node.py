import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.power import wait_until_on
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.cloud.transport.local import LocalTransport
from mclu_shell.cloud.transport.ssh.login import SSHLogin
from mclu_shell.cloud.transport.ssh.transport import SSHTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import LibvirtDown, LibvirtFault, NodeFault, NodeOff, SSHDown
from tests.support.processes import count_descriptors
from tests.support.waiting import eventually

LOCAL = NodeConfig("ham0", via="local", answer_timeout=0.3)


@pytest.fixture
def directory(short_directory: Path) -> Path:
    return short_directory


@pytest.fixture
def frozen_daemon(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Run a libvirtd that accepts connections and sends nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(directory / "daemon"))
        listener.listen(50)
        monkeypatch.setattr(
            "mclu_shell.cloud.transport.local.LIBVIRT_SOCKETS", (f"{directory}/none", f"{directory}/daemon")
        )
        yield listener


class SlowTransport(LocalTransport):
    """A transport that opens only after the node's deadline."""

    def open(self, deadline: float) -> str:
        threading.Event().wait(max(0.0, deadline - time.monotonic()) + 0.1)
        return super().open(deadline)


def local_node(directory: Path, transport: type[LocalTransport] = LocalTransport) -> Node:
    return Node(LOCAL, transport(LOCAL, directory / "near"))


def ask_within(seconds: float, node: Node) -> NodeFault:
    """Return the fault of a query; fail the test if the query does not end in time."""
    faults: list[NodeFault] = []

    def ask() -> None:
        try:
            node.fetch_guests()
        except NodeFault as fault:
            faults.append(fault)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    assert faults, "the query did not end" if thread.is_alive() else "the query succeeded"
    return faults[0]


def test_the_constructor_does_nothing(directory: Path) -> None:
    node = local_node(directory)
    assert list(directory.iterdir()) == []
    assert (node.view.state.phase, node.view.guests) == (Phase.UNSEEN, ())


@pytest.mark.usefixtures("frozen_daemon")
def test_a_daemon_that_does_not_answer_is_an_error_at_the_deadline(directory: Path) -> None:
    node = local_node(directory)
    started = time.monotonic()
    fault = ask_within(5, node)
    assert isinstance(fault, LibvirtDown)
    assert str(fault) == "ham0: libvirtd not answering; on the node: systemctl restart libvirtd"
    assert time.monotonic() - started < 2
    assert (node.view.state.phase, node.view.state.why) == (Phase.FAULTY, "libvirtd not answering")


@pytest.mark.usefixtures("frozen_daemon")
def test_a_query_ends_if_the_transport_opens_after_the_deadline(directory: Path) -> None:
    assert isinstance(ask_within(5, local_node(directory, SlowTransport)), NodeFault)


@pytest.mark.usefixtures("frozen_daemon")
def test_failed_queries_leave_no_threads_and_no_descriptors(directory: Path) -> None:
    node = local_node(directory)
    ask_within(5, node)
    threads, descriptors = threading.active_count(), count_descriptors()
    for _ in range(3):
        ask_within(5, node)
    node.close()
    assert eventually(lambda: (threading.active_count(), count_descriptors()) <= (threads, descriptors))
    assert not (directory / "near").exists()


def test_closing_ends_a_query_in_progress(frozen_daemon: socket.socket, directory: Path) -> None:
    patient = NodeConfig("ham0", via="local", answer_timeout=30)
    node = Node(patient, LocalTransport(patient, directory / "near"))
    frozen_daemon.settimeout(5)
    with ExitStack() as stack:

        def close_during_query() -> None:
            # The first connection is the search for the daemon, the second is libvirt's.
            for _ in range(2):
                connection, _ = frozen_daemon.accept()
                stack.enter_context(connection)
            connection.recv(1)
            node.close()

        closing = threading.Thread(target=close_during_query, daemon=True)
        closing.start()
        assert isinstance(ask_within(10, node), NodeFault)
        closing.join(5)


def test_a_daemon_that_is_not_running_is_down(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = (f"{directory}/none", f"{directory}/neither")
    monkeypatch.setattr("mclu_shell.cloud.transport.local.LIBVIRT_SOCKETS", paths)
    fault = ask_within(5, local_node(directory))
    assert isinstance(fault, LibvirtDown)
    assert str(fault) == "ham0: libvirtd not running; systemctl start libvirtd"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to any socket")
def test_a_socket_without_permission_is_an_error_with_a_remedy(frozen_daemon: socket.socket, directory: Path) -> None:
    (directory / "daemon").chmod(0)
    fault = ask_within(5, local_node(directory))
    assert isinstance(fault, LibvirtFault)
    assert "join the group 'libvirt'" in str(fault)


def ssh_node(directory: Path, port: int) -> Node:
    config = NodeConfig("ham0", address="127.0.0.1", port=port, connect_timeout=0.3, answer_timeout=1.0)
    return Node(config, SSHTransport(config, directory / "near", SSHLogin()))


def test_a_silent_machine_is_off(directory: Path, silent_port: int) -> None:
    node = ssh_node(directory, silent_port)
    assert isinstance(ask_within(5, node), NodeOff)
    assert node.view.state.phase == Phase.OFF


def test_a_machine_without_sshd_is_on(directory: Path, closed_port: int) -> None:
    assert isinstance(ask_within(5, ssh_node(directory, closed_port)), SSHDown)


def test_a_machine_whose_sshd_sends_no_banner_is_on(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        fault = ask_within(10, ssh_node(directory, listener.getsockname()[1]))
    assert isinstance(fault, SSHDown)
    assert fault.fact == "ssh: not answering"
    assert time.monotonic() - started < 4


def test_a_wait_that_times_out_reports_the_last_fault(directory: Path, silent_port: int) -> None:
    node = ssh_node(directory, silent_port)
    with pytest.raises(NodeFault) as caught:
        wait_until_on(node, CancelScope(0.1))
    assert str(caught.value) == "ham0: not up after 0.1 s: is off"


def test_a_wait_can_be_cancelled(directory: Path, silent_port: int) -> None:
    scope = CancelScope(60)
    scope.cancel()
    node = ssh_node(directory, silent_port)
    started = time.monotonic()
    wait_until_on(node, scope)
    assert time.monotonic() - started < 5
