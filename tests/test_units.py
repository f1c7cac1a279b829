import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mclu_shell.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4G", 4 << 30),
        ("512M", 512 << 20),
        ("1.5G", 3 << 29),
        ("20GiB", 20 << 30),
        ("20gb", 20 << 30),
        ("1T", 1 << 40),
        ("2P", 2 << 50),
        ("8 k", 8 << 10),
        ("1048576", 1 << 20),
        ("17B", 17),
        ("1 byte", 1),
        ("512 bytes", 512),
        (" 1G\n", 1 << 30),
    ],
)
def test_a_size_is_read_in_binary_units(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "G", "4X", "4GG", "-4G", "+4G", "4 G G", "1,5G", "1.G", ".5G", "5bb", "5iB", "1e9", "4G4", "٤G", "inf"]
)
def test_the_error_of_a_bad_size_has_the_text_and_the_allowed_form(text: str) -> None:
    with pytest.raises(ValueError, match="a number and a unit, such as 512M, 4G") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0", "0G", "0.0001", "0.0M"])
def test_a_size_of_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        parse_size(text)


@contextlib.contextmanager
def explained(words: str) -> Iterator[None]:
    """Accept a ValueError with one of our own messages."""
    try:
        yield
    except ValueError as error:
        if words not in str(error):
            raise


@given(st.text() | st.from_regex(r"\A\d{1,500}(\.\d{1,500})?[bkmgtpBKMGTP]?(i?[bB])?\Z"))
@example("9" * 400 + ".5G")
@example("9" * 5000)
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    with explained("bad size"):
        assert parse_size(text) > 0


@given(st.text() | st.from_regex(r"\A\d{1,500}(\.\d{1,500})?(ms|s|m|h)?\Z"))
@example("9" * 400)
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with explained("bad duration"):
        assert 0 <= parse_duration(text) < float("inf")


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1K"),
        (512 << 20, "512M"),
        (32400998 << 10, "30.9G"),
        ((1 << 20) - 1, "1M"),
        ((1 << 50) - 1, "1P"),
        (5000 << 50, "5000P"),
    ],
)
def test_a_size_has_at_most_one_decimal(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(st.integers(1, 1 << 60))
def test_a_formatted_size_parses_to_about_the_same_size(size_bytes: int) -> None:
    again = parse_size(format_size(size_bytes))
    # At most half of the last decimal of at least one unit.
    assert abs(again - size_bytes) <= max(size_bytes, again) * 0.05


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("5m", 300), ("1h", 3600), ("250ms", 0.25), ("0", 0)]
)
def test_a_duration_is_in_seconds_without_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "5 m", "1d", "abc", "5min", "nan"])
def test_the_error_of_a_bad_duration_has_the_text_and_the_allowed_form(text: str) -> None:
    with pytest.raises(ValueError, match="a number of seconds, or a value such as 30s") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (300, "5 min"), (7200, "2 h"), (90, "90 s"), (0.25, "0.25 s"), (0, "0 s"), (1234567, "1234567 s")],
)
def test_a_duration_is_formatted_in_the_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
