"""Tab at the prompt in a real pseudo-terminal: the inserted text and the menu."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.shell.terminal import ENTER, TAB, Terminal

CTRL_U = "\x15"


@pytest.fixture
def shell() -> Iterator[Terminal]:
    """Start the demo and query its nodes: ham0 is on and runs db and web, the others are off."""
    with closing(Terminal("--demo")) as shell:
        shell.expect_prompt()
        shell.run("status '*'")
        yield shell


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("lis", "list"),
        ("STAT", "status"),
        ("status ham1; shu", "status ham1; shutdown"),
        ("console w", "console web"),
        ("console ham0:w", "console ham0:web"),
        ("console 'w", "console web"),
        ("shutdown web --f", "shutdown web --force"),
        ("boot tiny web --memory=4", "boot tiny web --memory=4G"),
        ("boot tiny web --timezone Europe/Lond", "boot tiny web --timezone Europe/London"),
        ("list | so", "list | so"),
        ("!ech", "!ech"),
    ],
)
def test_tab_inserts_the_only_candidate(shell: Terminal, typed: str, line: str) -> None:
    shell.type(typed + TAB)
    shell.expect(rf"^mclu> {line.replace('|', '[|]')}$")
    # A blank may follow the candidate.
    shell.type("#")
    shell.expect(rf"^mclu> {line.replace('|', '[|]')} ?#")


def test_tab_inserts_the_node_then_offers_its_guests(shell: Terminal) -> None:
    shell.type("console h" + TAB)
    shell.expect(r"^mclu> console ham0:$")
    shell.type(TAB)
    shell.expect(r"^mclu> console ham0:\n +ham0:db +running on ham0, 4G\n +ham0:web +running on ham0, 2G$")


def test_only_guests_in_a_suitable_state_are_offered(shell: Terminal) -> None:
    shell.run("shutdown db; list --inactive")
    shell.type("start " + TAB)
    shell.expect(r"^mclu> start\n +db +shut off on ham0, 4G\n +ham0: +on, 1 guest$")
    assert "ham0, 2G" not in shell.screen.rpartition("mclu> start")[2]
    shell.type(CTRL_U + "shutdown " + TAB)
    shell.expect(r"^mclu> shutdown .*\n +web +running on ham0, 2G\n +ham0: +on, 1 guest$")
    assert "ham0, 4G" not in shell.screen.rpartition("mclu> shutdown")[2]


def test_boot_offers_only_nodes_with_enough_memory(shell: Terminal) -> None:
    shell.type("boot tiny " + TAB)
    shell.expect(r"^mclu> boot tiny ham0:$")
    shell.type(f"{CTRL_U}boot tiny --memory 1T {TAB}#")
    shell.expect(r"^mclu> boot tiny --memory 1T #")


def test_after_a_semicolon_the_next_command_is_completed(shell: Terminal) -> None:
    shell.type("status ham1; on " + TAB)
    shell.expect(r"^mclu> status ham1; on ham\n +ham1 +off\n +ham2 +off\n +ham3 +off$")


def test_aliases_are_completed_until_they_are_removed(shell: Terminal) -> None:
    shell.run("alias lsa='list --active'")
    shell.type("ls" + TAB)
    shell.expect(r"^mclu> lsa$")
    shell.type("--he" + TAB)
    shell.expect(r"^mclu> lsa --help$")
    shell.type(CTRL_U + "unalias l" + TAB)
    shell.expect(r"^mclu> unalias lsa$")
    shell.type(ENTER)
    shell.expect_prompt()
    shell.type("l" + TAB)
    shell.expect(r"^mclu> list$")


def test_a_file_name_with_a_blank_is_quoted(shell: Terminal, tmp_path: Path) -> None:
    (tmp_path / "my file").touch()
    shell.type("status ham1 > ~/my" + TAB)
    shell.expect(r"^mclu> status ham1 > '~/my file'")
    shell.type("# and no more" + ENTER)
    shell.expect_prompt()
    assert (tmp_path / "my file").read_text() == "ham1 off\n"
