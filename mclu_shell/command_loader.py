"""The loader of commands: finds the modules in `commands/`, one for each command."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mclu_shell.command import Command, Group
from mclu_shell.errors import UsageError, did_you_mean

_PACKAGE = "mclu_shell.commands"
# Other names of commands.
_SYNONYMS = {"exit": "quit", "?": "help"}


@cache
def command_names() -> list[str]:
    """Return the names of all commands, without importing them."""
    # pkgutil would take 7 ms to import.
    names = [
        file.stem for path in import_module(_PACKAGE).__path__ for file in Path(path).iterdir() if file.suffix == ".py"
    ]
    # An editor's temporary files are not modules.
    return sorted(name.replace("_", "-") for name in names if name.isidentifier() and name != "__init__")


class Outline(NamedTuple):
    """A command's summary in one line; `needs_prompt` if it works only in the interactive shell."""

    summary: str
    needs_prompt: bool


def outline(name: str) -> Outline:
    """Return a command's outline from its compiled module: importing all commands takes five times as long."""
    spec = find_spec(_module_of(name))
    loader: Any = spec and spec.loader
    code = loader.get_code(_module_of(name))
    # CPython stores a module's docstring as its first constant.
    return Outline(str(code.co_consts[0]).strip().partition("\n")[0], "NEEDS_PROMPT" in code.co_names)


def _module_of(name: str) -> str:
    return f"{_PACKAGE}.{name.replace('-', '_')}"


def load_command(name: str, aliases: Iterable[str] = ()) -> Command:
    """Return a command; raise UsageError with similar names, also of aliases, if there is none."""
    names = command_names()
    name = _SYNONYMS.get(name, name)
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
