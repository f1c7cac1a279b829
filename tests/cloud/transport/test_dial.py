import socket
import threading
import time
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.dial import NO_SSHD, dial
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.errors import NodeOff, SSHDown, Unreachable
from tests.support.processes import count_descriptors, has_ended
from tests.support.waiting import eventually

# ssh's messages after a login at the jump host.
AT_GATE = "Authenticated to gate ([10.0.0.1]:22)."


def target(host: str = "127.0.0.1", port: int = 22, *, proxy: str = "") -> Target:
    return Target(
        node="ham0", host=host, port=port, user="root", identities=(), identities_only=False, agent="",
        known_hosts=(), host_key_name="", proxy_command=proxy, jump="",
    )  # fmt: skip


class TestDirect:
    def test_a_connection_exchanges_data(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = dial(target(port=listener.getsockname()[1]), 5)
            theirs, _ = listener.accept()
        with ours, theirs:
            theirs.sendall(b"SSH-2.0-x\r\n")
            assert ours.recv(100) == b"SSH-2.0-x\r\n"
            assert ours.gettimeout() is None
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            # A machine that loses power sends nothing; the kernel's keep-alive notices within seconds.
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            times = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            idle, interval, count = (ours.getsockopt(socket.IPPROTO_TCP, time) for time in times)
            assert idle + interval * count <= 15

    def test_received_data_is_acknowledged_at_once(self) -> None:
        """sshd sends no small packet before the last is acknowledged, which the kernel would delay by 40 ms."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = dial(target(port=listener.getsockname()[1]), 5)
            theirs, _ = listener.accept()
        with ours, theirs:
            theirs.sendall(b"a question")
            ours.recv(100)
            # From here on, the kernel would delay acknowledgements.
            ours.sendall(b"an answer")
            assert not ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
            theirs.sendall(b"a question")
            ours.recv(100)
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)

    def test_a_refused_connection_means_that_the_machine_is_on(self, closed_port: int) -> None:
        with pytest.raises(SSHDown) as caught:
            dial(target(port=closed_port), 5)
        assert caught.value.power == "on"
        message = f"ham0: ssh: connection refused on port {closed_port}; {NO_SSHD}"
        assert str(caught.value) == message

    def test_no_answer_within_the_timeout_means_that_the_node_is_off(self, silent_port: int) -> None:
        started = time.monotonic()
        with pytest.raises(NodeOff) as caught:
            dial(target(port=silent_port), 0.3)
        assert 0.3 <= time.monotonic() - started < 2
        assert str(caught.value) == "ham0: is off; run 'on ham0'"

    def test_one_lost_packet_does_not_make_a_node_look_off(self) -> None:
        """A full queue drops the first SYN; it has room again long before the kernel would repeat the SYN."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            waiting = [socket.socket() for _ in range(2)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())

            def make_room() -> None:
                for _ in waiting:
                    listener.accept()[0].close()

            makes_room = threading.Timer(0.1, make_room)
            makes_room.start()
            try:
                dial(target(port=listener.getsockname()[1]), 0.8).close()
            finally:
                makes_room.join()
                for one in waiting:
                    one.close()

    @pytest.mark.parametrize("host", ["a..b", "x" * 64, "fe80::1%nosuch"])
    def test_a_name_without_an_address_is_unreachable_and_not_off(self, host: str) -> None:
        with pytest.raises(Unreachable) as caught:
            dial(target(host), 5)
        assert caught.value.power == "unknown"
        assert str(caught.value).startswith(f"ham0: cannot resolve {host!r} (")
        assert "set address= in mclu.conf" in caught.value.remedy

    def test_failed_attempts_leave_no_descriptor_open(self, closed_port: int, silent_port: int) -> None:
        before = count_descriptors()
        for port, fault in ((closed_port, SSHDown), (silent_port, NodeOff)):
            with pytest.raises(fault):
                dial(target(port=port), 0.1)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            dial(target(port=listener.getsockname()[1]), 5).close()
        assert count_descriptors() == before


class TestThroughACommand:
    def test_the_connection_goes_through_the_commands_standard_streams(self) -> None:
        with dial(target(proxy="/bin/sh -c 'echo SSH-2.0-x; exec cat'"), 5) as ours:
            ours.sendall(b"hello\n")
            data = b""
            while not data.endswith(b"hello\n"):
                data += ours.recv(100)
        assert data == b"SSH-2.0-x\nhello\n"

    @pytest.mark.parametrize(
        ("output", "fault", "message"),
        [
            (
                "gate: Permission denied (publickey).",
                Unreachable,
                "cannot connect through ProxyCommand: gate: Permission denied (",
            ),
            (
                "ssh: connect to host gate port 22: No route to host",
                Unreachable,
                "cannot connect through ProxyCommand: ssh: conn",
            ),
            (f"{AT_GATE}\\nchannel 0: open failed: connect failed: No route to host", NodeOff, "is off"),
            (
                f"{AT_GATE}\\nchannel 0: open failed: connect failed: Connection refused",
                SSHDown,
                "ssh: connection ref",
            ),
            (f"{AT_GATE}\\nchannel 0: open failed: administratively prohibited", Unreachable, "cannot connect through"),
            (f"{AT_GATE}\\nchannel 0: open confirm rwindow 0", SSHDown, "ssh: not answering"),
        ],
    )
    def test_a_node_is_off_only_if_the_jump_host_cannot_reach_it(
        self, output: str, fault: type[Exception], message: str
    ) -> None:
        with pytest.raises(fault) as caught:
            dial(target(proxy=f"/bin/sh -c \"printf '{output}' >&2; exit 1\""), 5)
        assert str(caught.value).startswith(f"ham0: {message}")

    def test_a_failed_command_leaves_no_descriptor_open(self) -> None:
        before = count_descriptors()
        with pytest.raises(Unreachable):
            dial(target(proxy="false"), 5)
        assert count_descriptors() == before

    def test_a_command_without_output_is_ended_with_its_children(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("mclu_shell.cloud.transport.dial._PROXY_TIMEOUT_S", 0.3)
        note = tmp_path / "pid"
        with pytest.raises(Unreachable):
            dial(target(proxy=f"/bin/sh -c 'sleep 60 & echo $! > {note}; wait'"), 5)
        child = int(note.read_text())
        assert eventually(lambda: has_ended(child))
