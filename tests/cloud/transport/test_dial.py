import socket
import threading
import time

import pytest

from mclu_shell.cloud.transport.dial import dial
from mclu_shell.errors import NodeOff, SSHDown, Unreachable
from tests.support.processes import count_descriptors
from tests.support.ssh_target import make_target


class TestDirect:
    def test_a_connection_exchanges_data(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = dial(make_target(port=listener.getsockname()[1]), 5)
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
            ours = dial(make_target(port=listener.getsockname()[1]), 5)
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
            dial(make_target(port=closed_port), 5)
        assert caught.value.power == "on"
        assert str(caught.value).startswith(f"ham0: ssh: connection refused on port {closed_port}; the machine is on;")

    def test_no_answer_within_the_timeout_means_that_the_node_is_off(self, silent_port: int) -> None:
        started = time.monotonic()
        with pytest.raises(NodeOff) as caught:
            dial(make_target(port=silent_port), 0.3)
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
                dial(make_target(port=listener.getsockname()[1]), 0.8).close()
            finally:
                makes_room.join()
                for one in waiting:
                    one.close()

    @pytest.mark.parametrize("host", ["a..b", "x" * 64, "fe80::1%nosuch"])
    def test_a_name_without_an_address_is_unreachable_and_not_off(self, host: str) -> None:
        with pytest.raises(Unreachable) as caught:
            dial(make_target(host), 5)
        assert caught.value.power == "unknown"
        assert str(caught.value).startswith(f"ham0: cannot resolve {host!r} (")
        assert "set address= in mclu.conf" in caught.value.remedy

    def test_failed_attempts_leave_no_descriptor_open(self, closed_port: int, silent_port: int) -> None:
        before = count_descriptors()
        for port, fault in ((closed_port, SSHDown), (silent_port, NodeOff)):
            with pytest.raises(fault):
                dial(make_target(port=port), 0.1)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            dial(make_target(port=listener.getsockname()[1]), 5).close()
        assert count_descriptors() == before
