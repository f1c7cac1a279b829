"""All commands: one module each, named as it is typed; found here by looking, so none is listed by hand."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from mclu_shell.command import Command, Group
from mclu_shell.errors import UsageError, near

# Other names by which people call a command.
_SAME = {"exit": "quit", "?": "help"}


@cache
def command_names() -> list[str]:
    """The names of all commands, without importing one."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def load_command(name: str, aliases: Iterable[str] = ()) -> Command:
    """The command of a name; UsageError with near misses, also among the aliases, if there is none."""
    names = command_names()
    name = _SAME.get(name, name)
    if name not in names:
        raise UsageError(f"unknown command {name!r}", remedy=near(name, [*names, *aliases]) or "see 'help'")
    return _load(name)


@cache
def _load(name: str) -> Command:
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    group = getattr(module, "GROUP", Group.MORE)
    script = getattr(module, "script", None)
    needs_prompt = getattr(module, "NEEDS_PROMPT", False)
    rehearse = getattr(module, "rehearse", None)
    return Command(name, module.__doc__ or "", module.add_arguments, module.run, group, script, rehearse, needs_prompt)
