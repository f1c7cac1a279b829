"""All commands: one module each, named as it is typed; found here by looking, so none is listed by hand."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mclu_shell.command import Command, Group
from mclu_shell.errors import UsageError, did_you_mean

_PACKAGE = "mclu_shell.commands"
# Other names by which people call a command.
_SAME = {"exit": "quit", "?": "help"}


@cache
def command_names() -> list[str]:
    """The names of all commands, without importing one."""
    # pkgutil would look, too, but takes 7 ms to import.
    found = [
        file.stem for path in import_module(_PACKAGE).__path__ for file in Path(path).iterdir() if file.suffix == ".py"
    ]
    # What an editor leaves beside a module is none.
    return sorted(name.replace("_", "-") for name in found if name.isidentifier() and name != "__init__")


class Outline(NamedTuple):
    """What a command is for, in one line, and whether it is about what the interactive shell alone has."""

    summary: str
    needs_prompt: bool


def outline(name: str) -> Outline:
    """The outline of a command, from its compiled module, which is not run: to import all takes five times as long."""
    spec = find_spec(_module_of(name))
    loader: Any = spec and spec.loader
    code = loader.get_code(_module_of(name))
    # CPython has a module's docstring there.
    return Outline(str(code.co_consts[0]).strip().partition("\n")[0], "NEEDS_PROMPT" in code.co_names)


def _module_of(name: str) -> str:
    return f"{_PACKAGE}.{name.replace('-', '_')}"


def load_command(name: str, aliases: Iterable[str] = ()) -> Command:
    """The command of a name; UsageError with near misses, also among the aliases, if there is none."""
    names = command_names()
    name = _SAME.get(name, name)
    if name not in names:
        raise UsageError(f"unknown command {name!r}", remedy=did_you_mean(name, [*names, *aliases]) or "see 'help'")
    return _load(name)


@cache
def _load(name: str) -> Command:
    module = import_module(_module_of(name))
    return Command(
        name,
        module.__doc__ or "",
        module.add_arguments,
        module.run,
        getattr(module, "GROUP", Group.MORE),
        getattr(module, "script", None),
        getattr(module, "dry_run", None),
        getattr(module, "DOCUMENT", None),
        getattr(module, "LINES", ()),
        getattr(module, "NEEDS_PROMPT", False),
    )
