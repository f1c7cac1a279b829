"""Sizes and durations: what people type, and how they are shown (binary units throughout)."""

import re

_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
# More digits than these mean nothing, and would be more than a float can hold.
_NUMBER = r"(\d{1,18}(?:\.\d{1,18})?)"
_SIZE = re.compile(_NUMBER + r"\s*(?:bytes?|([bkmgtp]?)(i?b)?)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(_NUMBER + "(ms|s|m|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def parse_size(text: str) -> int:
    """Bytes of `4G`, `512M`, `1.5G`, `20GiB`, `1T` or plain bytes; ValueError says what is allowed."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[2] in ("", "b", "B") and match[3]):
        raise ValueError(f"bad size {text!r}: a number and a unit, such as 512M, 4G, 1.5G, 20GiB or 1T")
    unit = 1024 ** _POWERS[(match[2] or "").lower()]
    size = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if size == 0:
        raise ValueError(f"bad size {text!r}: it must be more than nothing")
    return size


def format_size(size_bytes: int) -> str:
    """`30.9G`, `512.0M`: one decimal and a binary unit; `512 bytes` below 1K."""
    if abs(size_bytes) < 1024:
        return "1 byte" if size_bytes == 1 else f"{size_bytes} bytes"
    size = size_bytes / 1024
    for unit in ("K", "M", "G", "T"):
        # 1023.96K would round to "1024.0K".
        if abs(size) < 1023.95:
            return f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}P"


def parse_duration(text: str) -> float:
    """Seconds of `90`, `1.5s`, `5m`, `1h` or `250ms`; ValueError says what is allowed."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"bad time {text!r}: a number of seconds, or such as 30s, 5m, 1h")
    return float(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """`45 s`, `5 min`, `2 h`: as people say it, whole where it can be."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.12g} s"


def format_age(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h`, `5 d`: about how long ago something was."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
