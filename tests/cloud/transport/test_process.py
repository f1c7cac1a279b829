import sys
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.cloud.transport.output import limited_lines
from mclu_shell.cloud.transport.process import LocalProcess, run_here, split_lines
from mclu_shell.errors import TooMuchData


def lines(chunks: Iterable[bytes]) -> list[str]:
    return list(split_lines(iter(chunks)))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"one\ntw", b"o\n"], ["one", "two"]),
        ([b"no end"], ["no end"]),
        ([b"a\r\nb\r", b"\nc"], ["a", "b", "c"]),
        ([b"10%\r20%\rdone\n"], ["10%", "20%", "done"]),
        ([b"\n\n"], ["", ""]),
        ([b"\xc3", b"\xbc \xff\n"], ["ü �"]),
        ([], []),
    ],
)
def test_chunks_are_split_into_lines(chunks: list[bytes], expected: list[str]) -> None:
    assert lines(chunks) == expected


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\xc3\xbc"])), st.integers(1, 3))
def test_lines_do_not_depend_on_the_size_of_chunks(words: list[bytes], size: int) -> None:
    text = b"".join(words)
    assert lines(text[i : i + size] for i in range(0, len(text), size)) == lines([text] if text else [])


def test_an_endless_line_is_cut_in_linear_time() -> None:
    started = time.process_time()
    result = lines([b"begin", *[b"x" * 4096] * 16384, b"\nnext\n" + b"y" * (1 << 20) + b"\rlast"])
    # A quadratic algorithm would take a minute.
    assert time.process_time() - started < 3
    assert [line[:6] for line in result] == ["beginx", "next", "yyyyyy", "last"]
    assert max(map(len, result)) == 16 << 10


def test_output_arrives_while_the_command_runs_and_the_end_of_input_ends_it() -> None:
    process = LocalProcess(["sh", "-c", "echo ready; echo complaint >&2; cat; echo end; exit 3"])
    output = process.lines()
    assert [next(output), next(output)] == ["ready", "complaint"]
    process.send(b"word\n")
    assert next(output) == "word"
    assert process.wait(0) == -1
    process.end_input()
    assert (list(output), process.wait(10)) == (["end"], 3)
    process.close()


def test_writing_to_a_command_that_has_ended_is_harmless() -> None:
    process = LocalProcess(["true"])
    assert process.wait(10) == 0
    process.send(b"x" * 1_000_000)
    process.end_input()
    assert list(process.lines()) == []


def test_run_here_returns_status_and_output() -> None:
    done = run_here("ham0", ["sh", "-c", 'echo "$1"; echo no >&2; exit 4', "sh", "$(id); 'x'"], 10)
    assert (done.status, done.out, done.err) == (4, "$(id); 'x'\n", "no\n")
    done = run_here("ham0", [sys.executable, "-c", "import signal; signal.pause()"], 0.5)
    assert (done.status, done.out) == (-1, "")
    assert "timed out after 0.5 s" in done.err


def test_run_here_ends_a_command_with_endless_output() -> None:
    with pytest.raises(TooMuchData, match="'yes' sent more than 4096 KiB") as caught:
        run_here("ham0", ["yes"], 10)
    assert caught.value.place == "ham0"


def test_only_lines_that_are_kept_have_a_limit() -> None:
    lines = ["x" * 1000] * 10_000
    assert len(list(limited_lines("ham0", iter(lines), "the build", "@"))) == 10_000
    with pytest.raises(TooMuchData, match="ham0: the build sent more than 4096 KiB"):
        list(limited_lines("ham0", iter(lines), "the build", "x"))
