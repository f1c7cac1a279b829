"""Fixtures of a lab of four real nodes, which is set up once for each test file and reset for each test."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.support.guests import SHIPPED, clean, template
from tests.lab.support.lab import RealLab, require_lab
from tests.shell.terminal import CTRL_C, CTRL_D, Terminal
from tests.support.mclu import MCLU


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow two retries of each lab test: emulated guests share two processors with it, and it may miss a deadline."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="module")
def lab4() -> Iterator[RealLab]:
    """A lab of four nodes, shared by the tests of a file, in the state that the previous test left."""
    require_lab()
    lab = RealLab(4, on=1)
    yield lab
    lab.down()


@pytest.fixture
def lab(lab4: RealLab, request: pytest.FixtureRequest) -> RealLab:
    """Four nodes: those of the marker `lab(on=[...])` are on and empty, the others are off (default: ham0 is on)."""
    marker = request.node.get_closest_marker("lab")
    on: list[str] = marker.kwargs["on"] if marker else ["ham0"]
    lab4.power(on)
    clean(lab4, *on)
    return lab4


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the template `quick`, which mclu searches before the templates that it ships."""
    directory = tmp_path / "templates"
    directory.mkdir()
    template(directory, "quick")
    monkeypatch.setenv("MCLU_PATH", f"{directory}:{SHIPPED}")
    return directory


@pytest.fixture
def ssh_files(lab4: RealLab, tmp_path: Path) -> Iterator[Path]:
    """The operator's ~/.ssh; it and mclu.conf are restored after the test."""
    directory, backup = lab4.path / "home/.ssh", tmp_path / "backup"
    shutil.copytree(directory, backup)
    config = (lab4.path / "mclu.conf").read_text()
    yield directory
    # ssh may remove its own sockets there at the same time.
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(backup, directory, dirs_exist_ok=True)
    (lab4.path / "mclu.conf").write_text(config)


@pytest.fixture
def programs(lab4: RealLab) -> Iterator[Path]:
    """A directory with every program that mclu needs on its PATH, but no viewer."""
    (lab4.path / "home/viewed").unlink(missing_ok=True)
    directory = lab4.path / "home/programs"
    directory.mkdir()
    ssh = shutil.which("ssh")
    assert ssh
    (directory / "ssh").symlink_to(ssh)
    (directory / "mclu").symlink_to(MCLU)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def shells(lab4: RealLab) -> Iterator[Callable[[], Terminal]]:
    """Start interactive shells on the LAN; they end with the test."""
    with ExitStack() as stack:

        def start() -> Terminal:
            program, *words = lab4.command(str(MCLU))
            terminal = Terminal(*words, program=program)
            stack.callback(_leave, terminal)
            terminal.expect_prompt()
            return terminal

        yield start


def _leave(shell: Terminal) -> None:
    """Quit a shell with Ctrl-D, because a killed shell leaves its runtime directory behind."""
    if shell.is_running:
        shell.read_a_little()
        before = shell.screen.count("mclu>")
        shell.type(CTRL_C)
        # The terminal drops a Ctrl-D that arrives before the prompt reads. The shell may also be ending already.
        with contextlib.suppress(AssertionError):
            shell.read_until(lambda screen: screen.count("mclu>") > before)
    if shell.is_running:
        shell.type(CTRL_D)
        shell.status()
    shell.close()
