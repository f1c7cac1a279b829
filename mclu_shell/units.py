"""Sizes and durations as users write and read them, in binary units."""

import re

_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
# More digits could overflow a float.
_NUMBER = r"(\d{1,18}(?:\.\d{1,18})?)"
_SIZE = re.compile(_NUMBER + r"\s*(?:bytes?|([bkmgtp]?)(i?b)?)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(_NUMBER + "(ms|s|m|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def parse_size(text: str) -> int:
    """Return the bytes of `4G`, `512M`, `1.5G`, `20GiB`, `1T` or a plain number; raise ValueError for other text."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[2] in ("", "b", "B") and match[3]):
        raise ValueError(f"bad size {text!r}: write a number and a unit, such as 512M, 4G, 1.5G, 20GiB or 1T")
    unit = 1024 ** _POWERS[(match[2] or "").lower()]
    size = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if size == 0:
        raise ValueError(f"bad size {text!r}: must be greater than 0")
    return size


def format_size(size_bytes: int) -> str:
    """Return a size such as `30.9G`, `256M` or `512 bytes`: in binary units, with at most one decimal."""
    if abs(size_bytes) < 1024:
        return "1 byte" if size_bytes == 1 else f"{size_bytes} bytes"
    size = size_bytes / 1024
    for unit in ("K", "M", "G", "T"):
        # 1023.96K would round to 1024K.
        if abs(size) < 1023.95:
            return f"{_decimal(size)}{unit}"
        size /= 1024
    return f"{_decimal(size)}P"


def _decimal(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def parse_duration(text: str) -> float:
    """Return the seconds of `90`, `1.5s`, `5m`, `1h` or `250ms`; raise ValueError for other text."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"bad duration {text!r}: write a number of seconds, or a value such as 30s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """Return a duration such as `45 s`, `5 min` or `2 h`, in the largest unit that divides it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.12g} s"


def format_age(seconds: float) -> str:
    """Return an age such as `12 s`, `3 min`, `2 h` or `5 d`, rounded down."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
