"""JSON of qemu-img, guest agents and other processes of mclu."""

import json
from collections.abc import Iterable
from typing import Any

from mclu_shell.parsing.limits import MOST_CHARACTERS, InvalidData, require_depth, require_size


def parse_json(text: str | bytes, *, most: int = MOST_CHARACTERS, as_pairs: bool = False) -> Any:
    """Return a JSON value; raise InvalidData for text that is no JSON, too long or nested too deeply.

    `as_pairs`: objects become lists of pairs, and strings may have control characters.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        require_size(decoded, "JSON", most)
        value = json.loads(decoded, object_pairs_hook=list, strict=False) if as_pairs else json.loads(decoded)
    except InvalidData:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"invalid JSON: {error}") from None
    require_depth(value, _children, "JSON")
    return value


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
