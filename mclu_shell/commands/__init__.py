"""All commands: one module each, named as it is typed; found here by looking, so none is listed by hand."""

from importlib import import_module
from pkgutil import iter_modules

from mclu_shell.command import Command
from mclu_shell.errors import UsageError, near

# Other names by which people call a command.
_SAME = {"exit": "quit"}


def command_names() -> list[str]:
    """The names of all commands, without importing one."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def load_command(name: str) -> Command:
    """The command of a name; UsageError with near misses if there is none."""
    names = command_names()
    name = _SAME.get(name, name)
    if name not in names:
        raise UsageError(f"unknown command {name!r}", remedy=near(name, names) or "see 'help'")
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    return Command(name, module.__doc__ or "", module.add_arguments, module.run)
