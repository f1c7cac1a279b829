"""The ssh process of a connection, with programs in the place of a node."""

import os
import subprocess
import sys
import time
from pathlib import Path

from mclu_shell.cloud.transport.openssh.master import MasterProcess
from tests.support.processes import has_ended
from tests.support.waiting import eventually


def start(control: Path, *options: str) -> MasterProcess:
    """Start ssh without the user's configuration."""
    return MasterProcess(
        ("-F", "none", "-o", "BatchMode=yes", *options, "--", "ham0"), control, "debug1: Authenticating"
    )


def test_a_refused_connection_ends_the_process_with_a_message(tmp_path: Path, closed_port: int) -> None:
    process = start(tmp_path / "0.ctl", "-o", "HostName=127.0.0.1", "-p", str(closed_port))
    assert not process.wait_ready(time.monotonic() + 10)
    assert process.has_ended
    assert process.messages.endswith("Connection refused")


def test_the_end_is_noticed_while_a_proxy_holds_the_pipe_and_the_proxy_ends(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = start(tmp_path / "0.ctl", "-o", f"ProxyCommand=sh -c 'echo $$ >{note}; trap : HUP; sleep 60'")
    assert eventually(lambda: note.exists() and note.read_text().endswith("\n"))
    process.close()
    assert eventually(lambda: process.has_ended)
    assert not process.is_alive
    assert eventually(lambda: has_ended(int(note.read_text())))


def test_ssh_does_not_run_if_its_parent_has_ended(tmp_path: Path) -> None:
    """Otherwise a program that is killed at once would leave an ssh process, whose end the kernel does not report."""
    program = (
        "import os, sys; from pathlib import Path; from mclu_shell.cloud.transport.openssh import master; "
        "os.getpid = lambda: 1 << 30; "
        "process = master.MasterProcess(('-V',), Path(sys.argv[1]), ''); process.wait_ended(5); print(process.messages)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "0.ctl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}, timeout=30)
    assert "OpenSSH" not in done.stdout


def test_files_of_ssh_are_not_writable_for_other_users(tmp_path: Path) -> None:
    """ssh creates known_hosts with its umask. A starter of ssh keeps the umask of its own start."""
    file = tmp_path / "file"
    program = (
        "import sys; from pathlib import Path; from mclu_shell.cloud.transport.openssh import master; "
        "words = ('-o', 'ProxyCommand=touch ' + sys.argv[2], 'host'); "
        "process = master.MasterProcess(words, Path(sys.argv[1]), ''); process.wait_ended(10)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "0.ctl"), str(file)]
    subprocess.run(command, check=True, timeout=30, umask=0)
    assert file.stat().st_mode & 0o777 == 0o644


def test_endless_messages_end_the_process(tmp_path: Path) -> None:
    process = start(tmp_path / "0.ctl", "-o", "ProxyCommand=sh -c 'yes >&2'")
    assert eventually(lambda: process.has_ended, 10.0)
    assert len(process.messages) < 1 << 20


def test_a_message_without_end_ends_the_process(tmp_path: Path) -> None:
    process = start(tmp_path / "0.ctl", "-o", "ProxyCommand=sh -c 'cat /dev/zero >&2'")
    assert eventually(lambda: process.has_ended, 10.0)
