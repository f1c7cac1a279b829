import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.errors import UsageError
from mclu_shell.language.line import Line
from mclu_shell.language.parser import parse
from mclu_shell.language.unparse import unparse

WORD = st.text(alphabet="ab é\n\t;|>!#'\"\\$-=*~{}@1", max_size=8)


@given(st.lists(WORD, min_size=1), WORD, st.booleans(), st.booleans())
def test_an_unparsed_command_parses_to_itself(words: list[str], output: str, append: bool, may_fail: bool) -> None:
    line = Line(tuple(words), output=output, append=append and bool(output), may_fail=may_fail)
    assert parse(unparse(line)) == [line]


@given(st.text(alphabet="abc \n;|>!#'\"\\-", max_size=30))
def test_typed_commands_survive_unparsing(text: str) -> None:
    try:
        lines = parse(text)
    except UsageError:
        return
    for line in lines:
        assert parse(unparse(line)) == [line._replace(number=1)]


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("status   ham1 # x", "status ham1"),
        ("status 'ham*' a\\ b", "status 'ham*' 'a b'"),
        ("- on ham9 >x", "-on ham9 > x"),
        ("list |sort -r | head -1; x", "list | sort -r | head -1"),
        ("-! echo $HOME; x", "-!echo $HOME; x"),
        ("a '$1' \\$2", "a '$1' '$2'"),
        ("'!a' '-b'", "'!a' -b"),
    ],
)
def test_unparsed_text_has_minimal_quotes(text: str, again: str) -> None:
    assert unparse(parse(text)[0]) == again


@pytest.mark.parametrize("line", [Line(shell="a\nb"), Line(("a\x1b",)), Line(("a\rb",)), Line(("a",), pipe="'b")])
def test_a_command_that_no_text_can_express_is_empty(line: Line) -> None:
    assert unparse(line) == ""
