"""The programs that templates need on a node, from their parameter `programs`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from mclu_shell.cloud.templates.query import query, shown
from mclu_shell.cloud.templates.template import find_templates, template_name
from mclu_shell.errors import TemplateError

# Names of programs, of which one is enough; the first is the one to install.
Alternatives: TypeAlias = tuple[str, ...]

_PROGRAM = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_PROGRAMS = re.compile(rf"{_PROGRAM}(\|{_PROGRAM}){{0,7}}( {_PROGRAM}(\|{_PROGRAM}){{0,7}}){{0,31}}")


def read_programs(path: Path) -> tuple[Alternatives, ...] | None:
    """Return the programs that a template needs on its node; None if it does not name them."""
    text = query(path, "programs")
    if text is None:
        return None
    line = text.removesuffix("\n")
    if not _PROGRAMS.fullmatch(line):
        fact = f"programs: not names of programs, such as qemu-img curl|wget: {shown(line)}"
        raise TemplateError(fact, place=template_name(path))
    return tuple(tuple(word.split("|")) for word in line.split(" "))


def collect_programs() -> Mapping[Alternatives, tuple[str, ...]]:
    """Return the programs that the templates need, with the names of these; ignore broken templates."""
    needs: dict[Alternatives, tuple[str, ...]] = {}
    for path in find_templates():
        try:
            programs = read_programs(path) or ()
        except (TemplateError, OSError):
            # `list --templates` shows it with its fault.
            continue
        for needed in programs:
            needs[needed] = (*needs.get(needed, ()), template_name(path))
    return needs
