"""Paths in QEMU's names of images: plain paths, protocols, options and JSON (block.c and json-lexer.c of QEMU)."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mclu_shell.parsing.json_text import parse_pairs
from mclu_shell.parsing.limits import LONGEST_NAME, InvalidData

# A name without a slash before its first colon has a protocol (path_has_protocol in QEMU's block.c).
_PROTOCOL = re.compile(r"([^/:]+):(.*)", re.DOTALL)
# Protocols that name no file of the node.
_REMOTE = frozenset({"ftp", "ftps", "http", "https", "iscsi", "iser", "nvme", "rbd", "sheepdog", "vxhs"})
_SEPARATOR = re.compile(r"[:=,?&]")
_MOST_SEPARATORS = 20
# A string without its end reaches to the end of the text; a search for its end at each quote would take quadratic time.
_STRING = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.)*+)(\1|\\?\Z)""", re.DOTALL)
# qemu-img prints U+FFFD for bytes that are not UTF-8. Lone surrogates come from JSON escapes.
_UNDECODABLE = re.compile("[\0\n\ufffd\ud800-\udfff]")


class UndecodableName(ValueError):
    """A name from which the files cannot be determined."""


class Paths(NamedTuple):
    """The paths in a name. `guesses` are paths that the name may mean, so they count only if they exist."""

    certain: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()


def find_paths(name: str, directory: str) -> Paths:
    """Return the paths in the name of an image that an image in `directory` refers to; raise UndecodableName."""
    if len(name) > LONGEST_NAME or _UNDECODABLE.search(name):
        raise UndecodableName(name)
    if name.startswith("json:"):
        return _join(_find_in_option(text, directory) for text in _strings(_parse(name.removeprefix("json:"))))
    if not (protocol := _PROTOCOL.fullmatch(name)):
        return Paths((_absolute(name, directory),) if name else ())
    if protocol[1] in _REMOTE:
        return Paths()
    certain = (protocol[2],) if protocol[1] == "file" and protocol[2].startswith("/") else ()
    return Paths(certain, tuple(_guess(_parts(name), directory)))


def find_named_paths(text: str, directory: str = "") -> set[str]:
    """Return all absolute paths in a text, such as a QEMU option; a path that it only may mean is included.

    With `directory`, each other part of the text counts as a path relative to it.
    """
    # QEMU writes a comma within an option's value twice.
    options = [part.replace("\0", ",") for part in re.split("[=,]", text.replace(",,", "\0"))]
    parts = {text, *options, *re.split("[=,]", text), *(part for option in options for part in option.split(":"))}
    if "{" in text:
        parts.update(_strings_in_json(text[text.index("{") :]))
    paths = {part.strip() for part in parts}
    if directory:
        paths |= {f"{directory.rstrip('/')}/{path}" for path in paths if path and path[0] not in "/{"}
    return {path for path in paths if path.startswith("/") and not _UNDECODABLE.search(path)}


def _absolute(name: str, directory: str) -> str:
    return name if name.startswith("/") else f"{directory}/{name}"


def _join(found: Iterable[Paths]) -> Paths:
    paths = list(found)
    return Paths(*(tuple(dict.fromkeys(path for part in paths for path in part[i])) for i in range(2)))


def _find_in_option(text: str, directory: str) -> Paths:
    """Return the paths in the value of a JSON option, which may also be the name of a node, or a word."""
    found = find_paths(text, directory)
    if text.startswith("/"):
        return found
    certain = found.certain if _PROTOCOL.fullmatch(text) else ()
    return Paths(certain, (*found.guesses, *_guess([text], directory)))


def _guess(parts: Iterable[str], directory: str) -> Iterator[str]:
    """Yield the paths that parts of a name may mean; QEMU takes some relative to its own directory, libvirt's is /."""
    for part in filter(None, parts):
        yield from (part,) if part.startswith("/") else (f"{directory}/{part}", f"/{part}")


def _parts(name: str) -> set[str]:
    """Return all parts of a name between two separators, also with the escapes of a URL decoded."""
    separators = list(_SEPARATOR.finditer(name))
    if len(separators) > _MOST_SEPARATORS:
        raise UndecodableName(name)
    starts = [0, *(separator.end() for separator in separators)]
    ends = [*(separator.start() for separator in separators), len(name)]
    parts = {name[start:end] for start in starts for end in ends if start < end}
    parts |= {urlsplit(name).path} if "://" in name else set()
    parts |= {unquote(part, errors="replace") for part in parts}
    return {part for part in parts if not _UNDECODABLE.search(part)}


def _parse(text: str) -> Any:
    """Parse QEMU's JSON, which also has strings in apostrophes; an object becomes a list of pairs."""
    try:
        return parse_pairs(_STRING.sub(_quote, text))
    except InvalidData as error:
        raise UndecodableName(text) from error


def _quote(match: re.Match[str]) -> str:
    if match[1] == '"' or not match[3].strip("\\"):
        return match[0].replace("\\'", "'")
    inner = re.sub(r'\\.|"', lambda part: {"\\'": "'", '"': '\\"'}.get(part[0], part[0]), match[2])
    return f'"{inner}"'


def _strings(value: Any) -> Iterator[str]:
    """Yield all strings in JSON except keys and the names of drivers."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        key, inner = value
        yield from () if key.rpartition(".")[2] == "driver" else _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _strings_in_json(text: str) -> Iterator[str]:
    try:
        for name in _strings(_parse(text)):
            yield name
            if name.startswith("json:"):
                yield from _strings_in_json(name.removeprefix("json:"))
    except UndecodableName:
        yield from (match[2].replace("\\/", "/") for match in _STRING.finditer(text))
