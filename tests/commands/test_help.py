import pytest

from mclu_shell.commands import command_names, load_command
from tests.conftest import InProcess


def test_every_command_is_listed_with_what_it_does(demo: InProcess) -> None:
    answer = demo("help")
    assert (answer.status, answer.err) == (0, "")
    listed = dict(line.split(maxsplit=1) for line in answer.out.splitlines() if line and not line.startswith("'"))
    assert list(listed) == command_names()
    assert listed["status"] == "Show which nodes are on, and what they have."


@pytest.mark.parametrize("name", command_names())
def test_each_command_explains_itself_and_its_arguments(demo: InProcess, name: str) -> None:
    answer = demo(f"help {name}")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith(f"usage: {name} ")
    assert answer == demo(f"{name} --help") == demo(f"{name} -h")
    assert max(map(len, answer.out.splitlines())) <= 120
    for action in load_command(name).parser().arguments:
        assert action.help


@pytest.mark.parametrize("name", command_names())
def test_a_summary_is_one_sentence_that_fits_a_line(name: str) -> None:
    assert load_command(name).summary.endswith(".")
    assert len(load_command(name).summary) <= 100


def test_several_can_be_explained_at_once(demo: InProcess) -> None:
    assert demo("help on off").out.count("usage: ") == 2


def test_an_unknown_command_has_near_misses(demo: InProcess) -> None:
    answer = demo("help lst")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == "mclu: unknown command 'lst'; did you mean 'list'?\n"


def test_another_name_of_a_command_is_known_too(demo: InProcess) -> None:
    assert demo("help exit") == demo("help quit")
