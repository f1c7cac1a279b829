"""Parsers of data of nodes and guests return a result or raise their own error, in less than a second and 100 MB."""

import os
import random
import signal
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mclu_shell.parsing.limits import InvalidData
from tests.fuzz.mutations import enlarge, mutate, mutate_xml
from tests.fuzz.parsers import PARSERS, Parser

# hypothesis takes longer for an example than a parser for a case, so that an example has many.
CASES_PER_EXAMPLE = 50
# Longer runs than those of CI look for other cases in each run.
FACTOR = int(os.environ.get("MCLU_FUZZ_FACTOR", "0"))
LIMIT_S, LIMIT_BYTES = 1.0, 100_000_000
LARGE = 1_000_000
# For XML, which mclu limits to that order, and for measurements of memory, which take ten times as long.
MEDIUM, SMALL = LARGE // 10, LARGE // 20
each_parser = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TimeoutError in a parser that hangs."""

    def end(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 30 * LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def check(parser: Parser, text: str) -> None:
    """Parse a text; fail if that raises another error than the declared ones, or takes over a second."""
    started = time.process_time()
    try:
        parser.parse(text)
    except parser.faults:
        pass
    except Exception as error:  # noqa: BLE001
        # pytest cannot print lone surrogates, and its traceback of the error may have no line number.
        pytest.fail(f"{error!r:.500} from {text[:3000]!a}".encode("ascii", "replace").decode(), pytrace=False)
    took_s = time.process_time() - started
    assert took_s < LIMIT_S, f"{took_s:.1f} s for {len(text)} characters {text[:200]!a}"


def test_all_cases_together_are_as_many_as_promised() -> None:
    assert sum(parser.examples * CASES_PER_EXAMPLE for parser in PARSERS) >= 100_000


@each_parser
def test_real_data_is_parsed(parser: Parser) -> None:
    for sample in parser.samples:
        if InvalidData in parser.faults:
            parser.parse(sample)
        else:
            check(parser, sample)


@each_parser
def test_mutated_data_is_parsed_or_refused(parser: Parser) -> None:
    @settings(
        max_examples=parser.examples * max(1, FACTOR),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=not FACTOR,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, (1 << 64) - 1))
    def run(seed: int) -> None:
        rng = random.Random(seed)
        with time_limit():
            for _ in range(CASES_PER_EXAMPLE):
                check(parser, mutate(rng, rng.choice(parser.samples), parser.mutation))

    run()


@each_parser
def test_long_and_deep_data_is_parsed_or_refused_in_linear_time(parser: Parser) -> None:
    for text in enlarge(parser.samples[0], parser.mutation, MEDIUM if parser.mutation is mutate_xml else LARGE):
        with time_limit():
            check(parser, text)


@each_parser
def test_long_and_deep_data_takes_little_memory(parser: Parser) -> None:
    for text in enlarge(parser.samples[0], parser.mutation, SMALL):
        tracemalloc.start(1)
        with suppress(*parser.faults):
            parser.parse(text)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # mclu accepts at most a megabyte of text, and the time of all parsers is linear.
        assert peak * LARGE < LIMIT_BYTES * max(len(text), SMALL), (
            f"{peak >> 10} KiB for {len(text)} characters {text[:200]!a}"
        )
