import contextlib
import json
import logging
import re
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.hypervisor.client import LibvirtClient
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.open import demo_nodes
from mclu_shell.cloud.sharing.client import GREETING, SharedEndpoint, ShareRequest, find_shared
from mclu_shell.cloud.sharing.node import SharedNode
from mclu_shell.cloud.sharing.server import ShareServer
from mclu_shell.cloud.sharing.transport import SharedTransport, cut_connections
from mclu_shell.cloud.state.json_codec import report_as_json
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.cloud.transport.base import Transport
from mclu_shell.cloud.transport.runtime_dir import RunDirectory
from mclu_shell.config import demo_config, parse_config
from mclu_shell.errors import ConnectionLost, Defect, NodeFault
from mclu_shell.parsing.limits import InvalidData

CONFIG = parse_config("[nodes]\nham0\nham1 user=me", Path("x.conf"))
OTHER = parse_config("[nodes]\nham0\nham1 user=you", Path("x.conf"))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> Iterator[RunDirectory]:
    """The run-time directory of a shell that shares its connections."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    directory = RunDirectory()
    share = ShareServer(CONFIG, directory.path, {"ham0": directory.path / "0.sock"}, [])
    yield directory
    share.close()
    directory.remove()


def listen(path: Path) -> None:
    """Create a socket file."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)


def test_a_one_shot_finds_the_sockets_of_a_shell(shell: RunDirectory) -> None:
    listen(shell.path / "0.sock")
    one_shot = RunDirectory()
    assert find_shared(CONFIG, one_shot.others()) == {
        "ham0": SharedEndpoint(shell.path / "0.sock", shell.path / "ask.sock")
    }
    one_shot.remove()
    for file in shell.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_one_shot_combines_the_sockets_of_several_shells(shell: RunDirectory) -> None:
    """Not every shell has every connection: the user types a passphrase in only one of them."""
    other = RunDirectory()
    share = ShareServer(CONFIG, other.path, {name: other.path / f"{name}.sock" for name in ("ham0", "ham1")}, [])
    listen(other.path / "ham1.sock")
    here = {"ham1": SharedEndpoint(other.path / "ham1.sock", other.path / "ask.sock")}
    assert find_shared(CONFIG, [shell.path, other.path]) == here
    listen(shell.path / "0.sock")
    both = find_shared(CONFIG, [shell.path, other.path])
    assert {name: shared.libvirt for name, shared in both.items()} == {
        "ham0": shell.path / "0.sock",
        "ham1": other.path / "ham1.sock",
    }
    share.close()
    other.remove()


def test_a_shell_with_another_configuration_is_not_used(shell: RunDirectory) -> None:
    listen(shell.path / "0.sock")
    assert find_shared(OTHER, [shell.path]) == {}


def test_a_directory_that_others_can_write_to_is_not_used(shell: RunDirectory) -> None:
    shell.path.chmod(0o770)
    one_shot = RunDirectory()
    assert find_shared(CONFIG, one_shot.others()) == {}
    one_shot.remove()


def test_the_files_of_a_dead_shell_are_not_used(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    directory = RunDirectory()
    ShareServer(CONFIG, directory.path, {"ham0": directory.path / "0.sock"}, []).close()
    assert find_shared(CONFIG, [directory.path]) == {}
    (directory.path / "share.json").write_text("{")
    assert find_shared(CONFIG, [directory.path]) == {}


@pytest.mark.parametrize("description", ["[]", '"x"', "null", '{"nodes": %s}', '{"nodes": %s, "sockets": ["0.sock"]}'])
def test_an_unknown_description_is_not_used(shell: RunDirectory, description: str) -> None:
    (shell.path / "share.json").write_text(description.replace("%s", json.dumps(repr(CONFIG.nodes))))
    assert find_shared(CONFIG, [shell.path]) == {}


# Requests to a shell


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A simulated node that is on."""
    node = demo_nodes(demo_config(), tmp_path)[0]
    yield node
    node.close()


@pytest.fixture
def request_socket(shell: RunDirectory, node: Node) -> Iterator[Path]:
    """The request socket of a shell with this node."""
    other = RunDirectory()
    share = ShareServer(CONFIG, other.path, {}, [node])
    yield other.path / "ask.sock"
    share.close()
    other.remove()


def shared_node(node: Node, shell: Path) -> SharedNode:
    """Return a one-shot's node, whose own transport fails."""

    def make_own() -> Transport:
        raise Defect("a transport of its own")

    path = shell.with_name("0.sock")
    listen(path)
    return SharedNode(node.config, SharedTransport(node.config, path, unused_path, make_own), shell)


def unused_path() -> Path:
    raise AssertionError("a socket of its own")


def test_a_shell_answers_for_its_nodes(request_socket: Path, node: Node) -> None:
    one_shot = shared_node(node, request_socket)
    assert one_shot.fetch_report().guests == node.fetch_report().guests != ()
    assert one_shot.fetch_guests(active=True) == node.fetch_guests(active=True)
    assert one_shot.fetch_guests(active=False, addresses=True) == node.fetch_guests(active=False)
    assert one_shot.view.guests == node.view.guests
    assert (one_shot.view.state.phase, one_shot.is_shared, one_shot.modules) == (Phase.ON, True, ())
    one_shot.close()


@pytest.mark.parametrize(
    "question",
    [b"", b"\n", b"{\n", b"[]\n", b"\xff\n", b'{"node": "ham9", "question": "report"}\n', b"x" * 9000 + b"\n",
     b"[" * 4000 + b"\n", b'{"node": [], "question": "report"}\n', b'{"node": "ham0"}\n',
     b'{"node": "ham0", "question": "guests"}\n'],
)  # fmt: skip
def test_an_invalid_request_gets_an_empty_answer_and_is_harmless(
    request_socket: Path, node: Node, question: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(request_socket))
        assert connection.recv(1) == b"1"
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            connection.sendall(question)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    assert shared_node(node, request_socket).fetch_report()


def test_each_request_is_logged_with_its_duration(
    request_socket: Path, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    one_shot = shared_node(node, request_socket)
    with caplog.at_level(logging.DEBUG):
        one_shot.fetch_guests()
    assert re.fullmatch(rf"{node.name}: shell guests: \d+\.\d ms", caplog.messages[-1])


def test_parallel_requests_are_all_answered(request_socket: Path, node: Node) -> None:
    """A one-shot without an answer has to import libvirt, which takes longer than all of these."""
    one_shot = shared_node(node, request_socket)
    outcomes = gather(range(40), lambda _: one_shot.fetch_report())
    assert [outcome.error for outcome in outcomes] == [None] * 40


def test_a_shell_does_not_wait_for_a_busy_node(request_socket: Path, node: Node) -> None:
    done, begun = threading.Event(), threading.Event()

    def hold(_client: LibvirtClient) -> None:
        begun.set()
        done.wait(20)

    node.fetch_report()
    work = threading.Thread(target=node.change, args=(hold,))
    work.start()
    assert begun.wait(5)
    with pytest.raises(InvalidData, match="Expecting value"):
        ShareRequest(request_socket, {"node": node.name, "question": "report"}).answer(1)
    done.set()
    work.join()


def test_a_late_greeting_is_accepted(short_directory: Path, node: Node) -> None:
    """On a busy machine a login of our own would take still longer."""
    report = json.dumps(report_as_json(node.fetch_report())).encode()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "ask.sock"))
        listener.listen()
        timer = threading.Timer(0.5, lambda: _answer_one(listener, report))
        timer.start()
        assert shared_node(node, short_directory / "ask.sock").fetch_report().guests
        timer.join()


def test_a_slow_answer_is_better_than_a_fault(short_directory: Path, node: Node) -> None:
    """On a bad line, the shell's slow answer can arrive before a login of our own is complete."""

    def make_own() -> Transport:
        answered.wait(20)
        raise ConnectionLost("a transport of its own", place="ham0")

    def answer() -> None:
        _answer_one(listener, report)
        answered.set()

    answered = threading.Event()
    report = json.dumps(report_as_json(node.fetch_report())).encode()
    listen(short_directory / "0.sock")
    transport = SharedTransport(node.config, short_directory / "0.sock", unused_path, make_own)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "ask.sock"))
        listener.listen()
        timer = threading.Timer(1.5, answer)
        timer.start()
        assert SharedNode(node.config, transport, short_directory / "ask.sock").fetch_report().guests
        timer.join()


def _answer_one(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(GREETING)
        connection.recv(4096)
        connection.sendall(answer)


@pytest.mark.parametrize("answer", [b"", b"[]", b"null", b'{"info": {}, "guests": []}', b'{"info": {"a": 1}}', b"\xff",
     b'{"info": {"pcpus": 1, "memory_bytes": 2, "available_bytes": 3}, "guests": ["abcdefg"]}'])  # fmt: skip
def test_an_invalid_answer_is_not_used(short_directory: Path, node: Node, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "ask.sock"))
        listener.listen()
        shell = threading.Thread(target=_answer_one, args=(listener, answer))
        shell.start()
        # The one-shot then connects to libvirt through the shell's socket.
        with pytest.raises(NodeFault):
            shared_node(node, short_directory / "ask.sock").fetch_report()
        shell.join()


def test_a_silent_shell_is_asked_only_once(short_directory: Path, node: Node) -> None:
    """From then on, the one-shot uses its own transport."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "ask.sock"))
        listener.listen()
        one_shot = shared_node(node, short_directory / "ask.sock")
        for _ in range(2):
            with pytest.raises(Defect, match="a transport of its own"):
                one_shot.fetch_report()
        listener.settimeout(0)
        listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not one_shot.is_shared
    assert "mclu_shell.cloud.hypervisor.client" in one_shot.modules


def test_cut_ends_only_the_connections_to_one_socket(short_directory: Path) -> None:
    paths = [short_directory / "a", short_directory / "b"]
    listeners = [socket.socket(socket.AF_UNIX) for _ in paths]
    for listener, path in zip(listeners, paths, strict=True):
        listener.bind(str(path))
        listener.listen()
    ends = [socket.socket(socket.AF_UNIX) for _ in paths]
    for end, path in zip(ends, paths, strict=True):
        end.connect(str(path))
        end.settimeout(0.2)
    cut_connections(paths[0])
    assert ends[0].recv(1) == b""
    with pytest.raises(TimeoutError):
        ends[1].recv(1)
    for each in (*listeners, *ends):
        each.close()
