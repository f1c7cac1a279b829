"""Installation of the completion files in directories that shells search; no start-up file is changed."""

import os
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from mclu_shell.errors import MCluError, UsageError
from mclu_shell.files.private import replace_file
from mclu_shell.files.trust import read_own_file
from mclu_shell.output.results import Text
from mclu_shell.user_paths import is_missing, require_home, xdg_directory

# A start-up file of the shell may block.
_TIMEOUT_S = 10.0


class _Target(NamedTuple):
    """The completion file of a shell, and the remaining steps until the shell loads it, if any."""

    file: Callable[[], Path]
    remedy: Callable[[Path], str]


def install(name: str) -> Text:
    """Write the completion file of a shell, by default $SHELL, and return the next steps for the user."""
    name = name or Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        fact = f"no completion for {name!r}" if name else "$SHELL names no shell"
        raise UsageError(fact, remedy="use --install-completion=bash, zsh or fish")
    require_home()
    shell = _SHELLS[name]
    file = shell.file()
    is_new = _write(resources.files(__package__).joinpath(f"mclu.{name}").read_text(encoding="utf-8"), file)
    lines = [
        f"Wrote {file}." if is_new else f"{file} is already installed.",
        shell.remedy(file) or f"Start a new {name} to use it.",
        "To uninstall, remove the file.",
    ]
    return Text("\n".join(lines))


def _write(text: str, file: Path) -> bool:
    """Write a file and return True; return False if it already contains the text."""
    try:
        if not is_missing(file) and read_own_file(file) == text.encode():
            return False
        replace_file(file, text.encode())
    except OSError as error:
        raise MCluError(f"cannot write: {error.strerror}", place=str(file)) from error
    return True


def _bash_file() -> Path:
    directory = os.environ.get("BASH_COMPLETION_USER_DIR", "").partition(":")[0]
    base = Path(directory) if directory else xdg_directory("XDG_DATA_HOME", ".local/share") / "bash-completion"
    return base / "completions" / "mclu"


def _bash_remedy(file: Path) -> str:
    if _interactive_output("bash", "declare -F _init_completion _comp_initialize"):
        return ""
    return f"Your bash does not load it: install the package bash-completion, or add to ~/.bashrc: source {file}"


def _zsh_file() -> Path:
    return xdg_directory("XDG_DATA_HOME", ".local/share") / "zsh" / "site-functions" / "_mclu"


def _zsh_remedy(file: Path) -> str:
    command = "print -rl -- $fpath; print -r -- compdef=$+functions[compdef]"
    output = _interactive_output("zsh", command).split("\n")
    startup = "$ZDOTDIR/.zshrc" if os.environ.get("ZDOTDIR") else "~/.zshrc"
    if str(file.parent) not in output:
        return (
            f"Your zsh does not load it: add to {startup}, before compinit: fpath=({file.parent} $fpath)\n"
            "If nothing calls compinit, also add: autoload -U compinit && compinit"
        )
    if "compdef=1" not in output:
        return f"Completion is off in your zsh: add to {startup}: autoload -U compinit && compinit"
    return ""


def _fish_file() -> Path:
    return xdg_directory("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "mclu.fish"


def _interactive_output(shell: str, command: str) -> str:
    """Return the output of a command in the user's interactive shell; empty if it does not run or does not end."""
    try:
        # An interactive shell would take the terminal from this process, so it gets a session of its own.
        completed = subprocess.run(
            [shell, "-i", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_TIMEOUT_S, check=False, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout


_SHELLS = {
    "bash": _Target(_bash_file, _bash_remedy),
    "zsh": _Target(_zsh_file, _zsh_remedy),
    "fish": _Target(_fish_file, lambda _file: ""),
}
