import shlex
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mclu_shell.errors import UsageError
from mclu_shell.language.lexer import Unfinished
from mclu_shell.language.line import Line
from mclu_shell.language.parser import parse

# Any text, and texts that are likely to hit the grammar.
TEXTS = st.text() | st.text(alphabet="ab \t\r\n;|>!#'\"\\$-=", max_size=30)


def words(text: str) -> list[tuple[str, ...]]:
    return [line.words for line in parse(text)]


def fault(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text)
    return str(caught.value)


@given(st.lists(st.text(), min_size=1))
def test_quoted_words_parse_to_themselves(given_words: list[str]) -> None:
    # A dash before the first word is not part of it.
    assume(not given_words[0].startswith("-"))
    assert parse(shlex.join(given_words)) == [Line(tuple(given_words))]


@given(TEXTS)
def test_any_text_is_commands_or_a_usage_error(text: str) -> None:
    try:
        lines = parse(text)
    except UsageError:
        return
    for line in lines:
        assert bool(line.words) != bool(line.shell)
        assert 1 <= line.number <= text.count("\n") + 1


# Words as dash parses them (POSIX 2.2), without expansions, which mclu does not have.
@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab '\"\\#\t", max_size=14))
def test_quoting_is_that_of_the_posix_shell(text: str) -> None:
    assume((len(text) - len(text.rstrip("\\"))) % 2 == 0)
    shell = subprocess.run(["sh", "-c", f"printf '%s\\0' x {text}"], capture_output=True, check=False, encoding="utf-8")
    if shell.returncode:
        fault(f"x {text}")
    else:
        assert words(f"x {text}") == [tuple(shell.stdout.split("\0")[:-1])]


# Lines that continue in the next one (a backslash, an open quotation) are left out.
LINE = st.text(alphabet="abc '\"#|>!-$", max_size=12).filter(lambda text: not is_unfinished(text))


def is_unfinished(text: str) -> bool:
    try:
        parse(text)
    except Unfinished:
        return True
    except UsageError:
        pass
    return False


@given(st.lists(LINE, max_size=4))
def test_lines_are_parsed_independently(lines: list[str]) -> None:
    try:
        expected = [one._replace(number=number) for number, line in enumerate(lines, 1) for one in parse(line)]
    except UsageError:
        fault("\n".join(lines))
    else:
        assert parse("\n".join(lines)) == expected


@given(TEXTS)
def test_a_comment_after_a_command_changes_nothing(text: str) -> None:
    try:
        lines = parse(text)
    except UsageError:
        return
    # After `!` and `|`, quotes belong to the user's shell.
    if not lines or not (lines[-1].shell or lines[-1].pipe):
        assert parse(f"{text} \t# 'x; y") == lines
    assert parse(f"{text}\n # 'x; y\n;\n") == lines


def test_semicolons_and_newlines_separate_commands() -> None:
    assert words("status; list\non ham1;;\n ; off ham1") == [("status",), ("list",), ("on", "ham1"), ("off", "ham1")]
    assert words("") == words(" ; \n\t\r\n;") == []


def test_quoted_separators_are_text() -> None:
    assert words("a ';' \"|\" \\> 'x\ny'") == [("a", ";", "|", ">", "x\ny")]


def test_a_comment_begins_only_where_a_word_could() -> None:
    assert words("a#b # c; d\n#e\nf '#g'") == [("a#b",), ("f", "#g")]


def test_a_command_has_the_number_of_its_first_line() -> None:
    text = "#!/usr/bin/env mclu\n\na 'x\ny'\nb \\\n c; d\n"
    assert [(line.words[0], line.number) for line in parse(text)] == [("a", 3), ("b", 5), ("d", 6)]


def test_a_backslash_joins_lines() -> None:
    assert words("on \\\nham1 ha\\\nm2\nlist\n") == [("on", "ham1", "ham2"), ("list",)]
    assert words('on "ham\\\n1"') == [("on", "ham1")]
    assert words("on 'ham\\\n1'") == [("on", "ham\\\n1")]


def test_the_end_of_the_text_needs_no_newline() -> None:
    assert words("a\nb") == words("a\nb\n") == words("a\r\nb\r\n") == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("typed", "program"), [("cut -d\\ ", "cut -d\\ "), (" a\\  \t", "a\\ "), ("a\\\\  ", "a\\\\"), (" a b ", "a b")]
)
def test_an_escaped_blank_at_the_end_of_a_program_is_kept(typed: str, program: str) -> None:
    assert [line.pipe for line in parse(f"list |{typed}")] == [program]
    assert [line.shell for line in parse(f"!{typed}")] == [program]


def test_text_after_a_pipe_belongs_to_the_users_shell_up_to_the_next_command() -> None:
    assert parse("list | grep 'a;b' | sort >x; status") == [
        Line(("list",), pipe="grep 'a;b' | sort >x"),
        Line(("status",)),
    ]


def test_a_shell_command_extends_to_the_end_of_the_line() -> None:
    assert parse("!echo 'a; b' | c > d # e\nlist") == [Line(shell="echo 'a; b' | c > d # e"), Line(("list",), 2)]
    assert words("a !b") == [("a", "!b")]


def test_redirections_are_parsed() -> None:
    assert parse("list > x; list >>'a b';list>y") == [
        Line(("list",), output="x"),
        Line(("list",), output="a b", append=True),
        Line(("list",), output="y"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 'b", "no closing '"),
        ('a "b', 'no closing "'),
        ('a\n\nb "c', 'line 3: no closing "'),
        ("a\\", "nothing after the last '\\'"),
        ("!", "nothing after '!'"),
        ("| x", "no command before '|'"),
        ("a; > x", "no command before '>'"),
        ("a |", "nothing after '|'"),
        ("a | ; b", "nothing after '|'"),
        ("a | 'b", "no closing '"),
        ("a >", "no file after '>'"),
        ("a > ''", "the name of the file after '>' is empty"),
        ("a > > b", "no file after '>'"),
        ("a >>> b", "no file after '>'"),
        ("a > b c", "only one file can follow '>', then ';': 'c'"),
        ("a > b | c", "only one file can follow '>', then ';': '|'"),
        ("$@", "$@ is empty"),
        ('a; -"$@"', "$@ is empty"),
    ],
)
def test_a_syntax_error_is_described(text: str, message: str) -> None:
    assert fault(text) == message


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a \\", "a | b 'c"])
def test_unfinished_text_is_distinguished_from_invalid_text(text: str) -> None:
    with pytest.raises(Unfinished):
        parse(text)
