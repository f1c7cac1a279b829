import re

import pytest

from mclu_shell.argtypes.wait_conditions import CONSOLE, GUEST_STATES, NODE_STATES
from mclu_shell.command import Group
from mclu_shell.command_loader import Outline, command_names, load_command, outline
from mclu_shell.language import parser
from tests.support.mclu import InProcess


def test_every_command_is_listed_in_its_group(demo: InProcess) -> None:
    answer = demo("help")
    assert (answer.status, answer.err) == (0, "")
    group, listed = "", dict[str, list[str]]()
    for line in answer.out.partition("\n\n")[0].splitlines():
        if line.startswith("  "):
            listed[group].append(line.strip())
        else:
            group = line.removesuffix(":")
            listed[group] = []
    assert list(listed) == [group for group in Group if group is not Group.MORE]
    assert sorted(line.split()[0] for lines in listed.values() for line in lines) == command_names()
    assert "status    Show which nodes are on, and their CPUs and memory." in listed[Group.LOOK]
    assert max(map(len, answer.out.splitlines())) <= 120


@pytest.mark.parametrize("name", command_names())
def test_each_command_has_a_group(name: str) -> None:
    assert load_command(name).group is not Group.MORE


@pytest.mark.parametrize("name", command_names())
def test_each_command_has_examples_that_it_parses(name: str) -> None:
    command = load_command(name)
    examples = [line.strip() for line in command.about.splitlines() if line.startswith("  ")]
    assert examples
    for example in examples:
        # A comment follows after several blanks.
        first, *_ = parser.parse(re.split(r" {2,}", example)[0])
        if first.words[0] == name:
            command.parser().parse(list(first.words[1:]))
    assert any(example.split()[0] == name for example in examples) or name == "quit"


@pytest.mark.parametrize("name", command_names())
def test_each_command_explains_itself_and_its_arguments(demo: InProcess, name: str) -> None:
    answer = demo(f"help {name}")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith(f"usage: {name} ")
    assert answer == demo(f"{name} --help") == demo(f"{name} -h")
    assert max(map(len, answer.out.splitlines())) <= 120
    for action in load_command(name).parser().arguments:
        assert action.help


@pytest.mark.parametrize("columns", [60, 80, 100, 300])
@pytest.mark.parametrize("name", command_names())
def test_help_fits_the_terminal(demo: InProcess, name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    about = load_command(name).about
    examples = [line for line in about.splitlines() if line.startswith(" ")]
    lines = demo(f"help {name}").out.splitlines()
    assert [line for line in lines if len(line) > min(columns, 120) and line not in examples] == []
    assert [line for line in examples if line not in lines] == []
    # No word is lost or split.
    assert " ".join(about.split()) in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("name", command_names())
def test_a_summary_is_one_sentence_that_fits_a_line(name: str) -> None:
    assert load_command(name).summary.endswith(".")
    assert len(load_command(name).summary) <= 60


@pytest.mark.parametrize("name", command_names())
def test_lists_and_examples_fit_80_columns(name: str) -> None:
    assert max(len(line) for line in load_command(name).about.splitlines() if line.startswith(" ")) <= 80


def test_the_help_of_wait_lists_its_conditions(demo: InProcess) -> None:
    lines = [line.split() for line in demo("help wait").out.splitlines() if line.startswith("  ")]
    conditions = [words[0] for words in lines if words[0] in (*NODE_STATES, *GUEST_STATES, CONSOLE)]
    assert conditions == [*NODE_STATES, *GUEST_STATES, CONSOLE]


def test_help_explains_several_commands(demo: InProcess) -> None:
    assert demo("help on off").out.count("usage: ") == 2


def test_an_unknown_command_has_near_misses(demo: InProcess) -> None:
    answer = demo("help shutdwn")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == "mclu: unknown command 'shutdwn'; did you mean 'shutdown'?\n"


def test_help_knows_other_names_of_commands(demo: InProcess) -> None:
    assert demo("help exit") == demo("help quit")
    assert demo("?") == demo("help")


@pytest.mark.parametrize("name", command_names())
def test_an_outline_is_read_without_importing_the_module(name: str) -> None:
    command = load_command(name)
    assert outline(name) == Outline(command.summary, command.needs_prompt)
