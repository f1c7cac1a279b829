import pytest

from mclu_shell.cloud.boot.rivals import find_winner
from mclu_shell.cloud.state.guest import Guest


def web(uuid: str, state: str = "shut off") -> Guest:
    return Guest("ham1", "web", uuid, state, 1 << 30, 1)


@pytest.mark.parametrize(
    ("rivals", "winner"),
    [
        ([], None),
        # The other boot removes its guest, or starts it in a moment.
        ([web("c")], None),
        ([web("c", "running")], web("c", "running")),
        ([web("a")], web("a")),
        ([web("c"), web("a")], web("a")),
        ([web("d"), web("c", "paused")], web("c", "paused")),
    ],
)
def test_a_rival_wins_if_it_runs_or_has_a_smaller_uuid(rivals: list[Guest], winner: Guest | None) -> None:
    assert find_winner("b", rivals) == winner
