"""JSON of qemu-img, guest agents and other processes of mclu."""

import json
from collections.abc import Iterable
from typing import Any

from mclu_shell.parsing.limits import MOST_CHARACTERS, InvalidData, require_depth, require_size


def parse_json(text: str | bytes, most: int = MOST_CHARACTERS) -> Any:
    """Return a JSON value; raise InvalidData for text that is no JSON, too long or nested too deeply.

    The parser itself limits the depth, to Python's limit of recursion. Ten thousand guests take no other check.
    """
    return _parse(text, most)


def parse_pairs(text: str) -> Any:
    """Return the same with objects as lists of pairs, for callers that recurse; strings may have control characters."""
    value = _parse(text, MOST_CHARACTERS, object_pairs_hook=list, strict=False)
    require_depth(value, _children, "JSON")
    return value


def _parse(text: str | bytes, most: int, **options: Any) -> Any:
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        require_size(decoded, "JSON", most)
        return json.loads(decoded, **options)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"invalid JSON: {error}") from None


def _children(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()
