"""Completion of `mclu` in real bash, zsh and fish in pseudo-terminals, from a cached snapshot."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from mclu_shell.cloud.state.disk_cache import cache_file, save
from mclu_shell.cloud.state.guest import Guest, NodeInfo
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.config import load_config
from tests.shell.terminal import ENTER, TAB, Terminal
from tests.support.mclu import MCLU, Answer

NUMBERS = count()
SHELLS = ("bash", "zsh", "fish")
COMPLETION = Path("/usr/share/bash-completion/bash_completion")
CTRL_U = "\x15"
GIB = 1 << 30
# Start-up files: completion on, and output that tests can match.
STARTUP = {
    "bash": (".bashrc", f"PS1='$ '; . {COMPLETION}\nbind 'set enable-bracketed-paste off'\n"),
    "zsh": (
        ".zshrc",
        "PS1='$ '; fpath=(~/.local/share/zsh/site-functions $fpath); autoload -U compinit && compinit -D\n"
        "unset zle_bracketed_paste; setopt no_prompt_sp\n",
    ),
    "fish": (
        ".config/fish/config.fish",
        "function fish_prompt; echo '$ '; end\nset -g fish_greeting\nset -g fish_autosuggestion_enabled 0\n"
        "set -g fish_color_valid_path\n",
    ),
}


def view(name: str, **guests: str) -> NodeView:
    records = tuple(Guest(name, guest, guest, state, 2 * GIB, 1) for guest, state in guests.items())
    return NodeView(name, NodeState(Phase.ON, 0.0), records, NodeInfo(8, 32 * GIB, 16 * GIB), 1.0)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a home directory with two configurations, cached snapshots of their nodes, and some files."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{MCLU.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    own = tmp_path / ".config/mclu/mclu.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[nodes]\nham0\nham1\n")
    Path("other.conf").write_text("[nodes]\nspam\n")
    guests = {"web": "running", "my guest": "running", "it's": "running", "a$b": "shut off", "wéb": "shut off"}
    save(Snapshot((view("ham0", **guests), view("ham1", db="running"))), cache_file(load_config(own)))
    save(Snapshot((view("spam", eggs="running"),)), cache_file(load_config(Path("other.conf"))))
    for file in ("lab.mclu", "other.txt", "my file.mclu"):
        Path(file).touch()
    # A directory with the name of a node must not be completed as a directory.
    Path("ham1").mkdir()
    # Without it, fish would read all manual pages in the background, for half a minute.
    Path(".local/share/fish/generated_completions").mkdir(parents=True)


@pytest.fixture
def started(mclu: Callable[..., Answer]) -> Iterator[Callable[[str], Terminal]]:
    """Return a function that starts a shell with the completion installed."""
    with ExitStack() as stack:

        def start(name: str) -> Terminal:
            if shutil.which(name) is None or (name == "bash" and not COMPLETION.exists()):
                pytest.skip(f"{name} or bash-completion is not installed")
            file, text = STARTUP[name]
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(text)
            assert mclu("--install-completion", name).status == 0
            shell = Terminal("-i", program=name)
            stack.callback(shell.close)
            shell.expect(r"^\$\Z")
            return shell

        yield start


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, started: Callable[[str], Terminal]) -> Terminal:
    return started(request.param)


def completed(shell: Terminal, typed: str, line: str) -> None:
    """Assert that Tab completes a line; a sign typed after it shows whether Tab has inserted a blank."""
    shell.type(typed + TAB)
    shell.expect(rf"^\$ {re.escape(line.rstrip())}$")
    shell.type("_")
    shell.expect(rf"^\$ {re.escape(line)}_")
    shell.type(CTRL_U)
    shell.expect(r"^\$\Z")
    # A unique word distinguishes this prompt from the one before.
    number = next(NUMBERS)
    shell.type(f"clear; echo {number}" + ENTER)
    shell.expect(rf"\A{number}\n\$\Z")


TYPED = (
    ("mclu stat", "mclu status "),
    ("mclu STAT", "mclu status "),
    ("mclu console we", "mclu console web "),
    ("mclu console ham0:w", "mclu console ham0:web "),
    ("mclu shutdown web ham1:", "mclu shutdown web ham1:db "),
    ("mclu console ham", "mclu console ham"),
    ("mclu start ham0:w", "mclu start ham0:wéb "),
    ("mclu boot tiny ham1", "mclu boot tiny ham1:"),
    ("mclu status ham0 ham1 --h", "mclu status ham0 ham1 --help "),
    ("mclu on ham0 ", "mclu on ham0 ham1 "),
    ("mclu boot tiny web --memory=4", "mclu boot tiny web --memory=4G "),
    ("mclu boot tiny web --memory 4", "mclu boot tiny web --memory 4G "),
    ("mclu --col", "mclu --color "),
    ("mclu --color=al", "mclu --color=always "),
    ("mclu --color al", "mclu --color always "),
    ("mclu -f oth", "mclu -f other."),
    ("mclu -f other.conf status ", "mclu -f other.conf status spam "),
    ("mclu --config-file=other.conf console spam:", "mclu --config-file=other.conf console spam:eggs "),
    ("mclu -k -f ~/other.conf console e", "mclu -k -f ~/other.conf console eggs "),
    ("mclu --demo status ham3", "mclu --demo status ham3 "),
    ("mclu la", "mclu lab.mclu "),
    ("mclu --check la", "mclu --check lab.mclu "),
    ("mclu lab.mclu oth", "mclu lab.mclu other."),
    ("mclu alia", "mclu alia"),
    ("mclu status nosuch", "mclu status nosuch"),
)


def test_tab_inserts_the_only_candidate(shell: Terminal) -> None:
    Path("other.text").touch()
    for typed, line in TYPED:
        completed(shell, typed, line)


QUOTED = {
    "bash": (
        ("mclu console ham0:my", "mclu console ham0:my\\ guest "),
        ("mclu console my\\ g", "mclu console my\\ guest "),
        ("mclu console 'ham0:my", "mclu console 'ham0:my guest' "),
        ('mclu console "ham0:i', 'mclu console "ham0:it\'s" '),
        ("mclu console ham0:'my g", "mclu console ham0:'my guest' "),
        ('mclu start "a', 'mclu start "a\\$b" '),
        ("mclu console it", "mclu console it\\'s "),
        ("mclu -c 'status; console w", "mclu -c 'status; console web' "),
        ("mclu my", "mclu my\\ file.mclu "),
        ("mclu ~/la", "mclu ~/lab.mclu "),
    ),
    "zsh": (
        ("mclu console ham0:my", "mclu console ham0:my\\ guest "),
        ("mclu console my\\ g", "mclu console my\\ guest "),
        ("mclu console 'ham0:my", "mclu console 'ham0:my guest' "),
        ('mclu console "ham0:i', 'mclu console "ham0:it\'s" '),
        ('mclu start "a', 'mclu start "a\\$b" '),
        ("mclu console it", "mclu console it\\'s "),
        ("mclu -c 'status; console w", "mclu -c 'status; console web' "),
        ("mclu my", "mclu my\\ file.mclu "),
        ("mclu ~/la", "mclu ~/lab.mclu "),
    ),
    "fish": (
        ("mclu console ham0:my", "mclu console ham0:my\\ guest "),
        ("mclu console my\\ g", "mclu console my\\ guest "),
        ("mclu console 'ham0:my", "mclu console 'ham0:my guest' "),
        ('mclu console "ham0:i', 'mclu console "ham0:it\'s" '),
        ('mclu start "a', 'mclu start "a\\$b" '),
        ("mclu -c 'status; console w", "mclu -c 'status; console web' "),
        ("mclu my", "mclu my\\ file.mclu "),
        ("mclu ~/la", "mclu ~/lab.mclu "),
    ),
}


@pytest.mark.parametrize("name", SHELLS)
def test_special_characters_are_quoted(name: str, started: Callable[[str], Terminal]) -> None:
    shell = started(name)
    for typed, line in QUOTED[name]:
        completed(shell, typed, line)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("bash", r"^ham0:web +\(running on ham0, 2G\) +ham0:it's "),
        ("zsh", r"^ham0:web +-- running on ham0, 2G"),
        ("fish", r"ham0:web +\(running on ham0, 2G\)"),
    ],
)
def test_candidates_are_listed_with_descriptions(name: str, entry: str, started: Callable[[str], Terminal]) -> None:
    shell = started(name)
    shell.type("mclu console ham0:" + TAB + TAB)
    shell.expect(entry)
    shell.expect("ham0:my")
    assert "a$b" not in shell.screen
