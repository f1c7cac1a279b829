import pytest

from mclu_shell.cloud.boot.name_lock import stronger
from mclu_shell.cloud.state.guest import Guest


def web(uuid: str, state: str = "shut off") -> Guest:
    return Guest("ham1", "web", uuid, state, 1 << 30, 1)


@pytest.mark.parametrize(
    ("rivals", "winner"),
    [
        ([], None),
        # It sees us, and goes; or it has not seen us, and will run in a moment.
        ([web("c")], None),
        ([web("c", "running")], web("c", "running")),
        ([web("a")], web("a")),
        ([web("c"), web("a")], web("a")),
        ([web("d"), web("c", "paused")], web("c", "paused")),
    ],
)
def test_who_gives_way_to_whom(rivals: list[Guest], winner: Guest | None) -> None:
    assert stronger("b", rivals) == winner
