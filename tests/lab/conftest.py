"""Real nodes for tests: one lab of four for all of them, reset for each."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import MCLU
from tests.lab.support.lab import OWN, RealLab, why_not
from tests.shell.terminal import CTRL_C, CTRL_D, Terminal


def require_lab(words: Sequence[str] = OWN) -> None:
    """Skip the test where no lab can be run; fail it in CI, where that would go unnoticed."""
    if reason := why_not(words):
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test on real nodes again: it shares two cores with emulated guests, and may miss a time limit once."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="module")
def lab4() -> Iterator[RealLab]:
    """A lab of four nodes, for all tests of a file; it is as the test before left it."""
    require_lab()
    lab = RealLab(4, on=1)
    yield lab
    lab.down()


@pytest.fixture
def cloud(lab4: RealLab) -> RealLab:
    """The lab of four nodes with ham0 on, the others off, nothing frozen and all keys known; `power` changes that."""
    lab4.power(on=["ham0"])
    return lab4


@pytest.fixture
def ssh_files(lab4: RealLab, tmp_path: Path) -> Iterator[Path]:
    """The operator's .ssh, which a test may change, as it may mclu.conf: both are put back."""
    directory, kept = lab4.path / "home/.ssh", tmp_path / "kept"
    shutil.copytree(directory, kept)
    config = (lab4.path / "mclu.conf").read_text()
    yield directory
    # Sockets there may go by themselves meanwhile.
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(kept, directory, dirs_exist_ok=True)
    (lab4.path / "mclu.conf").write_text(config)


@pytest.fixture
def shells(lab4: RealLab) -> Iterator[Callable[[], Terminal]]:
    """Starts shells on the LAN, which end with the test."""
    with ExitStack() as stack:

        def start() -> Terminal:
            program, *words = lab4.command(str(MCLU))
            terminal = Terminal(*words, program=program)
            stack.callback(_leave, terminal)
            terminal.expect_prompt()
            return terminal

        yield start


def _leave(shell: Terminal) -> None:
    if shell.is_running:
        # A shell that is killed cannot tidy up.
        shell.read_a_little()
        before = shell.screen.count("mclu>")
        shell.type(CTRL_C)
        # A Ctrl-D that the terminal gets before the prompt does is none to it.
        with contextlib.suppress(AssertionError):
            # It may be ending already.
            shell.read_until(lambda screen: screen.count("mclu>") > before)
    if shell.is_running:
        shell.type(CTRL_D)
        shell.status()
    shell.close()
