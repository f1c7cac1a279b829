import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.language.tail import tail
from tests.language.test_parser import TEXTS


@given(TEXTS)
def test_the_tail_of_any_text_is_within_it(text: str) -> None:
    end = tail(text)
    if end is not None:
        assert 0 <= end.start <= len(text)
        assert end.word or end.start == len(text) or text[end.start] in "'\"\\"


# A `-` before the first word is not part of it.
@given(st.lists(st.text(), min_size=1).filter(lambda words: not words[0].startswith("-")))
def test_the_last_word_is_incomplete_until_a_blank_follows(given_words: list[str]) -> None:
    text = shlex.join(given_words)
    end = tail(text)
    assert end is not None
    assert ([*end.words, end.word], text[end.start :]) == (given_words, shlex.quote(given_words[-1]))
    after = tail(text + " ")
    assert after is not None
    assert (list(after.words), after.word, after.start) == (given_words, "", len(text) + 1)


@pytest.mark.parametrize(
    ("text", "typed", "word"),
    [
        ("", [], ""),
        ("sta", [], "sta"),
        ("on ", ["on"], ""),
        ("status; on ha", ["on"], "ha"),
        ("status;", [], ""),
        ("on a#b;", [], ""),
        ("on 'ham", ["on"], "ham"),
        ('on "ham', ["on"], "ham"),
        ("on ham\\", ["on"], "ham"),
        ("on ha'm", ["on"], "ham"),
        ("on 'ham'\"1 ", ["on"], "ham1 "),
        ("on 'it\"s", ["on"], 'it"s'),
        ('on "a\\"b', ["on"], 'a"b'),
        ("list | grep 'a;b'; sta", [], "sta"),
        ("list > x; on ha", ["on"], "ha"),
        ("list > x # y\non ha", ["on"], "ha"),
        ("!a; b\nsta", [], "sta"),
        ("# x\nsta", [], "sta"),
        ("on 'a#b' ", ["on", "a#b"], ""),
    ],
)
def test_the_tail_is_the_last_command(text: str, typed: list[str], word: str) -> None:
    end = tail(text)
    assert end is not None
    assert (list(end.words), end.word) == (typed, word)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "# sta",
            "status # ha",
            "status # a b ",
            "!l",
            "! ",
            "!a; b",
            "list | gr",
            "list | 'gr",
            "list | gr; # x",
        ),
        *("> x", "list > x ", "list > x y", "list > x > y", "list > x | y", "list > # x"),
    ],
)
def test_comments_pipes_and_shell_lines_have_no_tail(text: str) -> None:
    assert tail(text) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [("list >", ""), ("list > ", ""), ("list >>a", "a"), ("a; list > 'b c", "b c"), ("list > x; list > y", "y")],
)
def test_the_tail_after_a_redirection_is_the_file(text: str, word: str) -> None:
    end = tail(text)
    assert end is not None
    assert (end.words, end.word, end.is_output) == (("list",), word, True)
    assert text[end.start :].lstrip("'") == word
