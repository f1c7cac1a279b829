"""Fixtures of all tests: the installed program, sessions on a simulated cloud, and ports."""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mclu_shell.cloud.open import demo_nodes, open_cloud
from mclu_shell.config import demo_config, parse_config
from tests import retries
from tests.support.mclu import MCLU, Answer, InProcess


def pytest_configure(config: pytest.Config) -> None:
    # A traceback of a thread would appear on the user's prompt, so it fails the test that caused it.
    config.addinivalue_line("filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning")
    config.pluginmanager.register(retries)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that no other file waits for their end in a parallel run."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate tests from the user's configuration, templates and colours."""
    empty = tmp_path / "no-templates"
    empty.mkdir()
    monkeypatch.setenv("MCLU_PATH", str(empty))
    # Another test of this process may have sent one.
    monkeypatch.setattr("mclu_shell.signals._Received.number", signal.SIGINT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("MCLU_CONFIG", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "NO_COLOR", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clouds() -> Iterator[Callable[..., InProcess]]:
    """Provide a function that makes sessions, on the simulated cloud or that of a configuration, and close them."""
    with ExitStack() as stack:

        def make(config: str = "", **options: Any) -> InProcess:
            parsed = parse_config(config, Path("mclu.conf")) if config else demo_config()
            cloud = open_cloud(parsed, None if config else demo_nodes)
            stack.callback(cloud.close)
            return InProcess(cloud, **options)

        yield make


@pytest.fixture
def demo(clouds: Callable[..., InProcess]) -> InProcess:
    """Return a session on the simulated cloud: ham0 is on and runs the guests db and web; ham1 to ham3 are off."""
    return clouds()


@pytest.fixture
def mclu(tmp_path: Path) -> Callable[..., Answer]:
    """Provide a function that runs the installed program as a user would."""

    def run(*words: str | Path, given: str | bytes = b"", env: dict[str, str] | None = None, **options: Any) -> Answer:
        done = subprocess.run(
            [MCLU, *map(str, words)],
            input=given.encode() if isinstance(given, str) else given,
            env={**os.environ, **(env or {})},
            timeout=60, check=False, cwd=tmp_path, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip
        return Answer(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())

    return run


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Provide a local port that neither accepts nor refuses connections, as on a machine that is off."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        # The kernel drops connections that do not fit into the listener's queue.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def off_settings(silent_port: int) -> str:
    """The settings of a node that is off and can be woken."""
    return f"address=127.0.0.1 port={silent_port} mac=74:d4:35:51:ab:86 broadcast=127.0.0.1"


@pytest.fixture
def closed_port() -> int:
    """Return a local port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Provide a directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="mclu-test-", dir="/tmp") as name:
        yield Path(name)
