"""Completion of mclu's command line, and its installation. test_shells.py runs it in real shells."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.argtypes.types import Candidate
from mclu_shell.cloud.state.disk_cache import cache_file, save
from mclu_shell.cloud.state.guest import Guest, NodeInfo
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.command_loader import command_names, load_command
from mclu_shell.config import load_config
from mclu_shell.language.parser import parse
from mclu_shell.shell_completion.bash import format_for_bash
from tests.support.imports import imported_packages
from tests.support.mclu import Answer

Program = Callable[..., Answer]
BREAKS = " \t\n\"'@><=;|&(:"


@pytest.fixture
def cached(tmp_path: Path) -> None:
    """Write a configuration of two nodes and a cached snapshot of one of them."""
    file = tmp_path / ".config/mclu/mclu.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[nodes]\nham0\nham1\n")
    guests = (Guest("ham0", "web", "u1", "running", 2 << 30, 1), Guest("ham0", "db", "u2", "shut off", 1 << 30, 1))
    view = NodeView("ham0", NodeState(Phase.ON, 0.0), guests, NodeInfo(8, 32 << 30, 16 << 30), 1.0)
    save(Snapshot((view,)), cache_file(load_config(file)))


def offered(mclu: Program, *words: str) -> list[str]:
    """Return the candidates for the last word."""
    answer = mclu("--complete", "fish", *words)
    assert (answer.status, answer.err) == (0, "")
    return [line.partition("\t")[0] for line in answer.out.splitlines()]


class TestWords:
    def test_all_commands_except_those_of_the_prompt_are_offered(self, mclu: Program) -> None:
        answer = mclu("--complete", "fish", "")
        assert "status\tShow which nodes are on, and their CPUs and memory.\n" in answer.out
        expected = [name for name in command_names() if not load_command(name).needs_prompt]
        assert offered(mclu, "") == expected
        assert {"alias", "history", "set"}.isdisjoint(expected)

    @pytest.mark.usefixtures("cached")
    def test_nodes_and_guests_come_from_the_cached_snapshot(self, mclu: Program) -> None:
        assert offered(mclu, "status", "") == ["ham0", "ham1"]
        assert offered(mclu, "console", "") == ["web", "ham0:"]
        assert offered(mclu, "start", "") == ["db", "ham0:"]
        assert "web\trunning on ham0, 2G\n" in mclu("--complete", "fish", "console", "").out
        assert "ham0\t16G free 20" in mclu("--complete", "fish", "status", "").out

    @pytest.mark.usefixtures("cached")
    def test_a_line_after_c_is_completed_as_at_the_prompt(self, mclu: Program) -> None:
        assert offered(mclu, "-c", "status; console w") == ["status; console web"]
        assert offered(mclu, "-k", "-c", "status", "-c", "on ham") == ["on ham0", "on ham1"]
        assert offered(mclu, "-c", "status", "") == []

    def test_options_before_the_command_are_global_and_after_it_the_commands(self, mclu: Program) -> None:
        assert {"--config-file", "--color", "--check", "--dry-run", "--install-completion"} <= set(offered(mclu, "-"))
        assert "--demo" not in offered(mclu, "--demo", "-")
        assert offered(mclu, "on", "ham1", "--w") == ["--wait"]
        assert offered(mclu, "--output", "j") == ["json"]
        assert offered(mclu, "--output=j") == ["--output=json"]
        assert offered(mclu, "--", "-") == []

    def test_options_are_completed_despite_a_wrong_configuration(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.conf").write_text("nonsense")
        for file in ("x.conf", "nosuch.conf", "/"):
            assert offered(mclu, "-f", file, "status", "") == []
            assert offered(mclu, "-f", file, "list", "--act") == ["--active"]

    @pytest.mark.parametrize(
        "arguments", [[], ["tcsh", "x"], ["bash"], ["bash", "9", ":", ""], ["bash", "9", ":", "mclu"], ["fish"]]
    )
    def test_invalid_arguments_print_nothing(self, mclu: Program, arguments: list[str]) -> None:
        assert mclu("--complete", *arguments) == Answer(0, "", "")

    def test_no_node_is_queried_and_no_slow_library_is_imported(self, tmp_path: Path) -> None:
        (tmp_path / "x.conf").write_text("[nodes]\nham0 address=192.0.2.1\n")
        loaded = imported_packages("--complete", "fish", "-f", str(tmp_path / "x.conf"), "console", "")
        assert not loaded & {"paramiko", "libvirt", "cmd2", "prompt_toolkit", "rich", "hashlib", "subprocess", "socket"}


def bash(typed: str, *texts: str, is_list: bool = False) -> list[str]:
    """Return the reply to bash for a typed word and candidates."""
    return format_for_bash([Candidate(text, "about") for text in texts], typed, BREAKS, is_list=is_list).splitlines()


class TestBash:
    @pytest.mark.parametrize(
        ("typed", "text", "reply"),
        [
            ("", "web", "web"),
            ("w", "web", "web"),
            ("ham0:w", "ham0:web", "web"),
            ("--memory=4", "--memory=4G", "4G"),
            ("m", "my guest", "my\\ guest"),
            ("'ham0:m", "ham0:my guest", "ham0:my guest"),
            ('"ham0:$', 'ham0:$"x"', 'ham0:\\$\\"x\\"'),
            ("ham0:'m", "ham0:my guest", "my guest"),
            ("'ham0':m", "ham0:my guest", "my\\ guest"),
            ("~/x", "~/x y", "~/x\\ y"),
            ("a\\:b", "a:bc", "a:bc"),
        ],
    )
    def test_the_reply_is_the_replaced_part_with_quotes(self, typed: str, text: str, reply: str) -> None:
        assert bash(typed, text) == ["", reply]

    def test_candidates_that_cannot_be_inserted_are_left_out(self) -> None:
        assert bash("'i", "it's") == [""]
        # bash keeps the host, which differs in case.
        assert bash("HAM0:w", "ham0:web") == [""]

    def test_no_blank_follows_a_single_incomplete_candidate(self) -> None:
        assert (
            format_for_bash([Candidate("ham0:", is_complete=False)], "h", BREAKS, is_list=False) == "nospace\nham0:\n"
        )

    def test_a_list_has_descriptions(self) -> None:
        assert bash("ham0:", "ham0:a", "ham0:web", is_list=True) == ["", "ham0:a    (about)", "ham0:web  (about)"]
        assert bash("ham0:", "ham0:web", is_list=True) == ["", "web"]

    @given(st.text(alphabet="ab :='\"\\$~é", min_size=1, max_size=8).filter(lambda text: not text.startswith("~")))
    def test_any_word_is_parsed_back_unchanged(self, text: str) -> None:
        assert parse(f"x {bash('', text)[1]}")[0].words == ("x", text)


# Below the home directory.
FILES = {
    "bash": ".local/share/bash-completion/completions/mclu",
    "zsh": ".local/share/zsh/site-functions/_mclu",
    "fish": ".config/fish/completions/mclu.fish",
}


class TestInstall:
    @pytest.mark.parametrize("name", FILES)
    def test_the_file_is_written_and_next_steps_are_printed(self, mclu: Program, tmp_path: Path, name: str) -> None:
        file = tmp_path / FILES[name]
        answer = mclu("--install-completion", name)
        assert (answer.status, answer.err) == (0, "")
        first, *_, last = answer.out.splitlines()
        assert (first, last) == (f"Wrote {file}.", "To uninstall, remove the file.")
        again = mclu("--install-completion", env={"SHELL": f"/usr/bin/{name}"})
        assert again.out == answer.out.replace(f"Wrote {file}.", f"{file} is already installed.")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]

    def test_an_older_file_is_replaced(self, mclu: Program, tmp_path: Path) -> None:
        file = tmp_path / FILES["fish"]
        file.parent.mkdir(parents=True)
        file.write_text("# old")
        assert mclu("--install-completion=fish").out.startswith(f"Wrote {file}.\n")
        assert "complete -c mclu" in file.read_text()

    @pytest.mark.parametrize(
        ("shell", "message"),
        [
            ("/bin/dash", "mclu: no completion for 'dash'; use --install-completion=bash, zsh or fish\n"),
            ("", "mclu: $SHELL names no shell; use --install-completion=bash, zsh or fish\n"),
        ],
    )
    def test_an_unsupported_shell_is_reported(self, mclu: Program, shell: str, message: str) -> None:
        assert mclu("--install-completion", env={"SHELL": shell}) == Answer(2, "", message)

    def test_an_unwritable_directory_is_reported(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / ".config").write_text("")
        message = f"mclu: {tmp_path}/{FILES['fish']}: cannot write: Not a directory\n"
        assert mclu("--install-completion", "fish") == Answer(1, "", message)
