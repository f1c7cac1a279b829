import pytest

from mclu_shell.errors import did_you_mean, format_alternatives


def test_alternatives_are_an_enumeration() -> None:
    assert [format_alternatives(words) for words in ("a", "ab", "abc")] == ["a", "a or b", "a, b or c"]


@pytest.mark.parametrize(
    ("name", "names", "remedy"),
    [
        # Equally similar names keep their order.
        ("ham9", ["ham0", "ham3", "ham1", "ham2"], "did you mean 'ham0', 'ham3' or 'ham1'?"),
        ("stats", ["start", "status"], "did you mean 'status' or 'start'?"),
        ("ham0x", ["ham0", "hxm", "web"], "did you mean 'ham0'?"),
        # A guest of this name may be on several nodes.
        ("wbe", ["web", "web"], "did you mean 'web'?"),
        ("my guesd", ["my guest"], "did you mean 'my guest'?"),
        ("status", ["off"], ""),
        ("status", [], ""),
    ],
)
def test_the_most_similar_names_come_first(name: str, names: list[str], remedy: str) -> None:
    assert did_you_mean(name, names) == remedy
