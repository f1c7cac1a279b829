"""Mutations of samples: structured ones of XML, JSON and lines, and of single characters."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

# Values at the edges of types, and what parsers of paths, addresses, numbers and shells treat specially.
TOKENS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1",
        "4294967296",
        "18446744073709551616",
        "9" * 5000,
        "1e999",
        "NaN",
        "0x7f",
        "١٢",
        "²",
        "\u0660",
    ),
    *("/", "//", "..", "/../..", "/etc/passwd", "-oProxyCommand=id", "--", "~", "$(id)", "`id`", "%n%s", "%", "$HOME"),
    *(
        "\0",
        "\n",
        "\r\n",
        "\t",
        "\x1b[2J",
        "\x1b]0;x\x07",
        "\x7f",
        "\x85",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ufffd",
        "\ud800",
    ),
    *(
        "'",
        '"',
        "\\",
        "\\'",
        '\\"',
        "\\x",
        "\\u",
        "\\777",
        "$'",
        "$'\\xff'",
        "<",
        ">",
        "&",
        "&lt;",
        "]]>",
        "<!--",
        "<![CDATA[",
    ),
    *(
        "<!DOCTYPE a [<!ENTITY b 'cc'>]>",
        "&b;",
        "{",
        "}",
        "[",
        "]",
        "{}",
        "[]",
        "null",
        "true",
        "json:",
        "json:{}",
        "file:",
        "nbd:",
    ),
    *(
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "localhost",
        "::ffff:127.0.0.1",
        "raw",
        "qcow2",
        "yes",
        "no",
        ",",
        ",,",
        "=",
        ":",
        ";",
        "|",
        "@",
    ),
)

Mutation = Callable[[random.Random, str], str]


def mutate(rng: random.Random, sample: str, structured: Mutation) -> str:
    """Return a sample with one to four mutations; rarely the sample itself."""
    text = sample
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3, 4))):
        # Long texts have a test of their own.
        if len(text) > 10 * len(sample) + 10_000:
            break
        text = structured(rng, text) if rng.random() < 0.6 else _mutate_text(rng, text)
    return text


def _mutate_text(rng: random.Random, text: str) -> str:
    start = rng.randrange(len(text) + 1)
    end = min(len(text), start + rng.choice((0, 1, 1, 2, 8, 64)))
    match rng.randrange(6):
        case 0:
            inserted = rng.choice(TOKENS)
        case 1:
            inserted = ""
        case 2:
            inserted = text[start:end] * rng.choice((2, 3, 50))
        case 3:
            inserted = chr(rng.choice((rng.randrange(128), rng.randrange(256), rng.randrange(0x11000))))
        case 4:
            return text[:start]
        case _:
            other = rng.randrange(len(text) + 1)
            inserted = text[other : other + 20]
    return text[:start] + inserted + text[end:]


def mutate_lines(rng: random.Random, text: str) -> str:
    """Drop, repeat, move or join lines, or replace a word of one."""
    lines = text.split("\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[i]
        case 1:
            lines.insert(j, lines[i])
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case _:
            words = lines[i].split(" ")
            words[rng.randrange(len(words))] = rng.choice(TOKENS)
            lines[i] = " ".join(words)
    return "\n".join(lines)


def mutate_xml(rng: random.Random, text: str) -> str:
    """Change the tree of a document; return other text as it is."""
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError):
        return mutate_lines(rng, text)
    elements = list(root.iter())
    one, other = rng.choice(elements), rng.choice(elements)
    match rng.randrange(6):
        case 0:
            one.text = rng.choice(TOKENS)
        case 1 if one.attrib:
            one.set(rng.choice(list(one.attrib)), rng.choice(TOKENS))
        case 2 if one.attrib:
            del one.attrib[rng.choice(list(one.attrib))]
        case 3 if len(one):
            del one[rng.randrange(len(one))]
        case 4 if other not in one.iter():
            other.extend([one] * rng.choice((1, 1, 30)))
        case _:
            one.tag = other.tag
    try:
        return ET.tostring(root, encoding="unicode")
    except (ValueError, RecursionError):
        return text


def mutate_json(rng: random.Random, text: str) -> str:
    """Replace, remove or nest a value of a document; return other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return mutate_lines(rng, text)
    return json.dumps(_mutate_value(rng, value))


def _mutate_value(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        keys: Sequence[Any] = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value * 2
        changed = value.copy()
        changed[key] = _mutate_value(rng, value[key])
        return changed
    return rng.choice((None, True, -1, 1 << 70, 0.5, [], {}, [value], {"a": value}, [[value] * 3], rng.choice(TOKENS)))


def enlarge(sample: str, structured: Mutation, size: int) -> list[str]:
    """Return long and deep documents of about `size` characters, which take a careless parser quadratic time."""
    count = size // 2
    texts = [
        sample * (size // max(1, len(sample)) + 1),
        "a" * size,
        " " * size,
        "\n" * size,
        "0" * size,
        "\x1b[" * count,
    ]
    for pair in ("[]", "{}", "''", '""', "\\'", '\\"', "<>", "$'", "/.", "a,", "a:", "a=", "|-", "Offending "):
        texts += [sample + pair * count, sample[: len(sample) // 2] + pair[0] * size, pair * count]
    if structured is mutate_xml:
        texts += [_repeat_elements(sample, size), *_nest_elements(sample, size)]
    if structured is mutate_json:
        texts += [
            f"[{','.join([sample] * (size // len(sample) + 1))}]",
            "[" * count + "]" * count,
            '{"a":' * (size // 6),
        ]
    return texts


def _repeat_elements(sample: str, size: int) -> str:
    """Repeat each element in the place where it is."""
    root = ET.fromstring(sample)
    times = size // len(sample) + 1
    for parent in list(root.iter()):
        for child in list(parent):
            if not len(child):
                parent.extend([child] * times)
    return ET.tostring(root, encoding="unicode")[: size * 4]


def _nest_elements(sample: str, size: int) -> list[str]:
    """Nest each kind of element in itself, to the limit of libxml2 and without a limit."""
    texts = []
    for element in {each.tag: each for each in ET.fromstring(sample).iter()}.values():
        once = ET.tostring(element, encoding="unicode").strip()
        if once.endswith(f"</{element.tag}>"):
            start, end = once.removesuffix(f"</{element.tag}>"), f"</{element.tag}>"
            for depth in (240, size // (len(once) + 1)):
                inner = start * depth + end * depth
                texts += [inner, sample.replace(once, inner) if once in sample else inner]
    return texts
