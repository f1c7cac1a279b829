"""Put the completion where the user's own shell looks for it by itself; none of the user's files is changed."""

import os
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from mclu_shell.errors import MCluError, UsageError
from mclu_shell.output.results import Text

# A shell's start-up files may do anything, also wait for something.
_PATIENCE_S = 10.0


class _Target(NamedTuple):
    """Where a shell's completions are, and what is still missing for them to be found, if anything is."""

    file: Callable[[], Path]
    missing: Callable[[Path], str]


def install(name: str) -> Text:
    """Write the completion of a shell, that of $SHELL if it is empty, and say what to do next."""
    name = name or Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        told = f"there is no completion for {name!r}" if name else "$SHELL does not say which shell is yours"
        raise UsageError(told, remedy="write --install-completion=bash, zsh or fish")
    shell = _SHELLS[name]
    file = shell.file()
    is_new = _write(resources.files(__package__).joinpath(f"mclu.{name}").read_text(encoding="utf-8"), file)
    done = "written" if is_new else "there already"
    lines = [f"{file} is {done}.", shell.missing(file) or f"A new {name} completes what you type behind 'mclu'."]
    return Text("\n".join([*lines, "To undo this, remove that file."]))


def _write(text: str, file: Path) -> bool:
    """Write a file, unless it holds that text; whether it was written."""
    try:
        if file.is_file() and file.read_bytes() == text.encode():
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MCluError(f"cannot write: {error.strerror}", place=str(file)) from error
    return True


def _base(variable: str, otherwise: str) -> Path:
    """A directory of the XDG Base Directory Specification, where a relative one is to be ignored."""
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else Path.home() / otherwise


def _bash_file() -> Path:
    own = os.environ.get("BASH_COMPLETION_USER_DIR", "").partition(":")[0]
    base = Path(own) if own else _base("XDG_DATA_HOME", ".local/share") / "bash-completion"
    return base / "completions" / "mclu"


def _bash_missing(file: Path) -> str:
    if _says("bash", "declare -F _init_completion _comp_initialize"):
        return ""
    return f"Your bash does not look there: install bash-completion, or add to ~/.bashrc: source {file}"


def _zsh_file() -> Path:
    return _base("XDG_DATA_HOME", ".local/share") / "zsh" / "site-functions" / "_mclu"


def _zsh_missing(file: Path) -> str:
    said = _says("zsh", "print -rl -- $fpath; print -r -- compdef=$+functions[compdef]").split("\n")
    if str(file.parent) not in said:
        startup = "$ZDOTDIR/.zshrc" if os.environ.get("ZDOTDIR") else "~/.zshrc"
        return (
            f"Your zsh does not look there: add to {startup}, before compinit: fpath=({file.parent} $fpath)\n"
            "Where nothing calls compinit, also: autoload -U compinit && compinit"
        )
    return "" if "compdef=1" in said else "Your zsh completes nothing yet: add: autoload -U compinit && compinit"


def _fish_file() -> Path:
    return _base("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "mclu.fish"


def _says(shell: str, command: str) -> str:
    """What an interactive shell of the user says; nothing if it cannot be had."""
    try:
        # A session of its own: an interactive shell would take the terminal from us.
        done = subprocess.run(
            [shell, "-i", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_PATIENCE_S, check=False, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


_SHELLS = {
    "bash": _Target(_bash_file, _bash_missing),
    "zsh": _Target(_zsh_file, _zsh_missing),
    "fish": _Target(_fish_file, lambda _file: ""),
}
