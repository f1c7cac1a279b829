"""What the user's own shell is answered where Tab is pressed; tests/shell/test_tab.py has the shells themselves."""

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
from tests.conftest import Answer

Program = Callable[..., Answer]
BREAKS = " \t\n\"'@><=;|&(:"


@pytest.fixture
def kept(tmp_path: Path) -> None:
    """A configuration, and what is kept of one of its nodes."""
    own = tmp_path / ".config/mclu/mclu.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[nodes]\nham0\nham1\n")
    guests = (Guest("ham0", "web", "u1", "running", 2 << 30, 1), Guest("ham0", "db", "u2", "shut off", 1 << 30, 1))
    view = NodeView("ham0", NodeState(Phase.ON, 0.0), guests, NodeInfo(8, 32 << 30, 16 << 30), 1.0)
    save(Snapshot((view,)), cache_file(load_config(own)))


def offered(mclu: Program, *words: str) -> list[str]:
    answer = mclu("--complete", "fish", *words)
    assert (answer.status, answer.err) == (0, "")
    return [line.partition("\t")[0] for line in answer.out.splitlines()]


class TestWords:
    def test_commands_are_offered_but_for_those_of_the_prompt(self, mclu: Program) -> None:
        answer = mclu("--complete", "fish", "")
        assert "status\tShow which nodes are on, and their CPUs and memory.\n" in answer.out
        wanted = [name for name in command_names() if not load_command(name).needs_prompt]
        assert offered(mclu, "") == wanted
        assert {"alias", "history", "set"}.isdisjoint(wanted)

    @pytest.mark.usefixtures("kept")
    def test_nodes_and_guests_come_from_what_is_kept(self, mclu: Program) -> None:
        assert offered(mclu, "status", "") == ["ham0", "ham1"]
        assert offered(mclu, "console", "") == ["web", "ham0:"]
        assert offered(mclu, "start", "") == ["db", "ham0:"]
        assert "web\trunning on ham0, 2G\n" in mclu("--complete", "fish", "console", "").out
        assert "ham0\t16G free 20" in mclu("--complete", "fish", "status", "").out

    @pytest.mark.usefixtures("kept")
    def test_a_line_of_the_language_is_completed_as_at_the_prompt(self, mclu: Program) -> None:
        assert offered(mclu, "-c", "status; console w") == ["status; console web"]
        assert offered(mclu, "-k", "-c", "status", "-c", "on ham") == ["on ham0", "on ham1"]
        assert offered(mclu, "-c", "status", "") == []

    def test_options_before_the_command_are_mclus_own_and_behind_it_the_commands(self, mclu: Program) -> None:
        assert {"--config-file", "--color", "--check", "--dry-run", "--install-completion"} <= set(offered(mclu, "-"))
        assert "--demo" not in offered(mclu, "--demo", "-")
        assert offered(mclu, "on", "ham1", "--w") == ["--wait"]
        assert offered(mclu, "--output", "j") == ["json"]
        assert offered(mclu, "--output=j") == ["--output=json"]
        assert offered(mclu, "--", "-") == []

    def test_what_is_wrong_with_the_configuration_leaves_the_rest(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.conf").write_text("nonsense")
        for file in ("x.conf", "nosuch.conf", "/"):
            assert offered(mclu, "-f", file, "status", "") == []
            assert offered(mclu, "-f", file, "list", "--act") == ["--active"]

    @pytest.mark.parametrize(
        "asked", [[], ["tcsh", "x"], ["bash"], ["bash", "9", ":", ""], ["bash", "9", ":", "mclu"], ["fish"]]
    )
    def test_what_is_no_question_has_no_answer(self, mclu: Program, asked: list[str]) -> None:
        assert mclu("--complete", *asked) == Answer(0, "", "")

    def test_no_node_is_asked_and_nothing_heavy_is_imported(self, tmp_path: Path) -> None:
        from tests.test_cli import TestImports

        (tmp_path / "x.conf").write_text("[nodes]\nham0 address=192.0.2.1\n")
        loaded = TestImports().imported("--complete", "fish", "-f", str(tmp_path / "x.conf"), "console", "")
        assert not loaded & {"paramiko", "libvirt", "cmd2", "prompt_toolkit", "rich", "hashlib", "subprocess", "socket"}


def bash(raw: str, *texts: str, is_list: bool = False) -> list[str]:
    return format_for_bash([Candidate(text, "about") for text in texts], raw, BREAKS, is_list=is_list).splitlines()


class TestBash:
    @pytest.mark.parametrize(
        ("raw", "text", "reply"),
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
    def test_only_what_bash_replaces_is_told_quoted_as_it_has_to_be(self, raw: str, text: str, reply: str) -> None:
        assert bash(raw, text) == ["", reply]

    def test_what_cannot_be_typed_there_is_left_out(self) -> None:
        assert bash("'i", "it's") == [""]
        # The host is not replaced, whatever its case.
        assert bash("HAM0:w", "ham0:web") == [""]

    def test_more_follows_at_once_behind_one_that_is_not_whole(self) -> None:
        assert (
            format_for_bash([Candidate("ham0:", is_complete=False)], "h", BREAKS, is_list=False) == "nospace\nham0:\n"
        )

    def test_a_list_says_what_is_known(self) -> None:
        assert bash("ham0:", "ham0:a", "ham0:web", is_list=True) == ["", "ham0:a    (about)", "ham0:web  (about)"]
        assert bash("ham0:", "ham0:web", is_list=True) == ["", "web"]

    @given(st.text(alphabet="ab :='\"\\$~é", min_size=1, max_size=8).filter(lambda text: not text.startswith("~")))
    def test_any_word_is_read_back_as_itself(self, text: str) -> None:
        assert parse(f"x {bash('', text)[1]}")[0].words == ("x", text)


# Below the home directory.
FILES = {
    "bash": ".local/share/bash-completion/completions/mclu",
    "zsh": ".local/share/zsh/site-functions/_mclu",
    "fish": ".config/fish/completions/mclu.fish",
}


class TestInstall:
    @pytest.mark.parametrize("name", FILES)
    def test_it_is_where_the_shell_looks_and_says_what_to_do(self, mclu: Program, tmp_path: Path, name: str) -> None:
        file = tmp_path / FILES[name]
        answer = mclu("--install-completion", name)
        assert (answer.status, answer.err) == (0, "")
        first, *_, last = answer.out.splitlines()
        assert (first, last) == (f"Wrote {file}.", "To uninstall, remove the file.")
        again = mclu("--install-completion", env={"SHELL": f"/usr/bin/{name}"})
        assert again.out == answer.out.replace(f"Wrote {file}.", f"{file} is already installed.")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]

    def test_an_old_one_is_replaced(self, mclu: Program, tmp_path: Path) -> None:
        file = tmp_path / FILES["fish"]
        file.parent.mkdir(parents=True)
        file.write_text("# old")
        assert mclu("--install-completion=fish").out.startswith(f"Wrote {file}.\n")
        assert "complete -c mclu" in file.read_text()

    @pytest.mark.parametrize(
        ("shell", "told"),
        [
            ("/bin/dash", "mclu: no completion for 'dash'; use --install-completion=bash, zsh or fish\n"),
            ("", "mclu: $SHELL names no shell; use --install-completion=bash, zsh or fish\n"),
        ],
    )
    def test_another_shell_is_told(self, mclu: Program, shell: str, told: str) -> None:
        assert mclu("--install-completion", env={"SHELL": shell}) == Answer(2, "", told)

    def test_a_place_that_cannot_be_written_is_told(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / ".config").write_text("")
        told = f"mclu: {tmp_path}/{FILES['fish']}: cannot write: Not a directory\n"
        assert mclu("--install-completion", "fish") == Answer(1, "", told)
