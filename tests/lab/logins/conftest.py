"""A lab of two nodes for all set-ups: the sshd of each set-up runs on ham1, and ham0 is a jump host."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab.logins.runner import Runner
from tests.lab.logins.setups import Outcome, SetUp
from tests.lab.support.lab import RealLab, require_lab

_STOP_SSHD = "read -r pid </run/sshd.pid; kill $pid; tail --pid=$pid -f /dev/null; chmod 666 /run/libvirt/libvirt-sock"


@pytest.fixture(scope="package")
def runner() -> Iterator[Runner]:
    """A runner of set-ups."""
    require_lab()
    lab = RealLab(2)
    assert lab.run("sh", "-c", _STOP_SSHD, node="ham1").returncode == 0
    runner = Runner(lab)
    yield runner
    runner.close()
    lab.down()


@pytest.fixture
def log_in(runner: Runner, request: pytest.FixtureRequest) -> Callable[[SetUp], Outcome]:
    """Run ssh and mclu in a set-up; those of the following tests run in the background."""
    runner.begin(_following(request))
    return runner.outcome


def _following(request: pytest.FixtureRequest) -> list[SetUp]:
    """Return the set-ups of this test, and of those of the package that follow it."""
    items = request.session.items
    following = items[items.index(request.node) :]
    calls = (item.callspec for item in following if isinstance(item, pytest.Function) and hasattr(item, "callspec"))
    setups = (call.params.get("setup") for call in calls)
    return [setup for setup in setups if isinstance(setup, SetUp)]
