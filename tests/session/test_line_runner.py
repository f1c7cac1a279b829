import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.open import demo_nodes, open_cloud
from mclu_shell.command import Prompt
from mclu_shell.config import demo_config
from mclu_shell.errors import MCluError, OutputError, UsageError
from mclu_shell.language.line import Line
from mclu_shell.language.script import Script
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.session.lazy_cloud import LazyCloud
from mclu_shell.session.line_runner import LineRunner


class Lines:
    """A line runner on the simulated cloud, which collects its output and the scripts that it is to run."""

    def __init__(self, *, is_dry: bool = False) -> None:
        self.scripts: list[tuple[Script, Renderer]] = []
        self.script_status = 0
        self.out, self.err = io.StringIO(), io.StringIO()
        self.renderer = Renderer(self.out, self.err)
        self.cloud = LazyCloud(self._open, lambda _cloud: None)
        self.runner = LineRunner(self.cloud, self.out, self._run_script, lambda: None, is_dry=is_dry, verbose=False)

    def _open(self) -> Cloud:
        return open_cloud(demo_config(), demo_nodes)

    def _run_script(self, script: Script, renderer: Renderer) -> int:
        self.scripts.append((script, renderer))
        return self.script_status

    def run(self, *words: str, place: str = "", **line: str | bool) -> int:
        return self.runner.run(Line(words, **line), self.renderer, place)  # type: ignore[arg-type]


@pytest.fixture
def make() -> Iterator[Callable[..., Lines]]:
    made: list[Lines] = []

    def make(**options: bool) -> Lines:
        made.append(Lines(**options))
        return made[-1]

    yield make
    for lines in made:
        lines.cloud.close()


@pytest.fixture
def lines(make: Callable[..., Lines]) -> Lines:
    return make()


def test_a_command_gets_its_arguments(lines: Lines) -> None:
    command, args = lines.runner.prepare(Line(("status", "ham0", "ham1")))
    assert (command.name, args.nodes) == ("status", ["ham0", "ham1"])


def test_the_help_option_runs_help_for_the_command(lines: Lines) -> None:
    command, args = lines.runner.prepare(Line(("off", "--help")))
    assert (command.name, vars(args)) == ("help", vars(lines.runner.prepare(Line(("help", "off")))[1]))


def test_a_command_of_the_prompt_needs_one(lines: Lines) -> None:
    with pytest.raises(UsageError, match="history: only available in the interactive shell; see 'help history'"):
        lines.runner.prepare(Line(("history",)))
    prompt = Prompt(list, {}, {}, list)
    lines.runner.interaction = lines.runner.interaction._replace(prompt=prompt)
    assert lines.runner.prepare(Line(("history",)))[0].name == "history"


def test_the_status_is_the_worst_of_the_errors(lines: Lines) -> None:
    assert lines.run("status", "ham1") == 0
    assert lines.run("off", "ham0", place="x.mclu:2") == 1
    assert lines.out.getvalue() == "ham1 off\n"
    assert lines.err.getvalue().startswith("mclu: x.mclu:2: ham0: cannot switch off: ")


def test_no_cloud_is_opened_for_help(lines: Lines) -> None:
    assert lines.run("help") == 0
    assert lines.cloud.opened is None


def test_quit_is_recorded(lines: Lines) -> None:
    assert not lines.runner.has_quit
    assert lines.run("quit") == 0
    assert lines.runner.has_quit


def test_a_script_runs_with_the_renderer_of_its_line(lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "x.mclu").write_text("status\n")
    lines.script_status = 3
    assert lines.run("run", str(tmp_path / "x.mclu")) == 3
    ((script, renderer),) = lines.scripts
    assert script.text == "status\n"
    assert renderer is lines.renderer


def test_a_wrong_command_neither_truncates_a_file_nor_starts_a_reader(lines: Lines, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("old")
    with pytest.raises(UsageError):
        lines.run("lst", output=str(file))
    with pytest.raises(UsageError):
        lines.run("lst", pipe=f"touch {tmp_path}/started")
    assert (file.read_text(), (tmp_path / "started").exists()) == ("old", False)


def test_output_goes_to_a_file(lines: Lines, tmp_path: Path) -> None:
    file = tmp_path / "out"
    for append in (False, False, True):
        assert lines.run("status", "ham1", output=str(file), append=append) == 0
    assert (file.read_text(), lines.out.getvalue()) == ("ham1 off\nham1 off\n", "")


def test_a_file_that_cannot_be_written_is_an_error(lines: Lines, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        lines.run("status", "ham1", output=str(tmp_path))
    assert str(caught.value) == f"{tmp_path}: cannot write: Is a directory"


@pytest.mark.parametrize(
    ("program", "place", "status", "error"),
    [
        ("exit 0", "x.mclu:1", 0, ""),
        # At the prompt, the program has printed its own error.
        ("exit 3", "", 1, ""),
        ("exit 3", "x.mclu:1", 1, "mclu: x.mclu:1: 'exit 3' ended with status 3\n"),
        ("kill -TERM $$", "x.mclu:1", 1, "mclu: x.mclu:1: 'kill -TERM $$' was ended by signal 15\n"),
        ("exit 130", "x.mclu:1", 130, ""),
    ],
)
def test_a_program_of_the_users_shell_has_a_status(
    lines: Lines, program: str, place: str, status: int, error: str
) -> None:
    assert lines.run(shell=program, place=place) == status
    assert lines.err.getvalue() == error


def test_the_status_of_a_pipe_is_that_of_the_command_or_else_of_its_reader(lines: Lines, tmp_path: Path) -> None:
    assert lines.run("status", "ham1", pipe=f"cat >{tmp_path}/out") == 0
    assert (tmp_path / "out").read_text() == "ham1 off\n"
    assert lines.run("status", "ham1", pipe="cat >/dev/null; exit 4") == 1
    assert lines.run("off", "ham0", pipe="cat >/dev/null") == 1


def test_a_dry_run_changes_nothing(make: Callable[..., Lines], tmp_path: Path) -> None:
    lines = make(is_dry=True)
    assert lines.run("on", "ham1") == 0
    assert lines.run("status", "ham0", output=str(tmp_path / "out")) == 0
    assert lines.run(shell=f"touch {tmp_path}/ran") == 0
    assert list(tmp_path.glob("[or]*")) == []
    assert lines.out.getvalue().startswith("would wake ham1")
    assert lines.cloud.open().snapshot.nodes[1].state.phase != "on"


def test_a_closed_cloud_is_not_opened_again(lines: Lines) -> None:
    lines.cloud.close()
    assert lines.run("status") == 1
    assert lines.err.getvalue() == "mclu: mclu is ending\n"
    with pytest.raises(MCluError):
        lines.cloud.open()
