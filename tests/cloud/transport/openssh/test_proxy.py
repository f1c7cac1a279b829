from pathlib import Path

import pytest

from mclu_shell.cloud.transport.openssh.proxy import connect_through_proxy
from mclu_shell.errors import NodeOff, SSHDown, Unreachable
from tests.support.processes import count_descriptors, has_ended
from tests.support.ssh_target import make_target
from tests.support.waiting import eventually

# ssh's messages after a login at the jump host.
AT_GATE = "Authenticated to gate ([10.0.0.1]:22)."


class TestThroughACommand:
    def test_the_connection_goes_through_the_commands_standard_streams(self) -> None:
        with connect_through_proxy(make_target(proxy="/bin/sh -c 'echo SSH-2.0-x; exec cat'")) as ours:
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
            connect_through_proxy(make_target(proxy=f"/bin/sh -c \"printf '{output}' >&2; exit 1\""))
        assert str(caught.value).startswith(f"ham0: {message}")

    def test_a_failed_command_leaves_no_descriptor_open(self) -> None:
        before = count_descriptors()
        with pytest.raises(Unreachable):
            connect_through_proxy(make_target(proxy="false"))
        assert count_descriptors() == before

    def test_a_command_without_output_is_ended_with_its_children(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("mclu_shell.cloud.transport.openssh.proxy.PROXY_TIMEOUT_S", 0.3)
        note = tmp_path / "pid"
        with pytest.raises(Unreachable):
            connect_through_proxy(make_target(proxy=f"/bin/sh -c 'sleep 60 & echo $! > {note}; wait'"))
        child = int(note.read_text())
        assert eventually(lambda: has_ended(child))

    def test_endless_messages_neither_fill_the_memory_nor_block_the_command(self) -> None:
        proxy = "/bin/sh -c 'yes | head -c 50000000 >&2; echo SSH-2.0-x; exec cat'"
        with connect_through_proxy(make_target(proxy=proxy)) as ours:
            assert ours.recv(100) == b"SSH-2.0-x\n"
