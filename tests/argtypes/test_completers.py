from pathlib import Path

import pytest

from mclu_shell.argtypes import completers
from mclu_shell.argtypes.completers import Candidate, Completer, CompletionContext
from mclu_shell.cloud.state.guest import Guest, NodeInfo
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot

EMPTY = Snapshot(())


def guest(name: str, node: str = "ham0", memory_bytes: int = 1 << 30) -> Guest:
    return Guest(node, name, f"{node}-{name}", "running", memory_bytes, 1)


def node(name: str, *guests: Guest, phase: Phase = Phase.ON, memory_bytes: int | None = None) -> NodeView:
    info = None if memory_bytes is None else NodeInfo(4, memory_bytes, memory_bytes)
    return NodeView(name, NodeState(phase, 0.0), guests, info)


def texts(complete: Completer, *nodes: NodeView, word: str = "", **context: object) -> list[str]:
    spot = CompletionContext(Snapshot(nodes), word, **context)  # type: ignore[arg-type]
    return [candidate.text for candidate in complete(spot)]


@pytest.mark.parametrize(
    ("context", "matches"),
    [
        (CompletionContext(EMPTY), ["web", "Web2", "db"]),
        (CompletionContext(EMPTY, "we"), ["web"]),
        (CompletionContext(EMPTY, "we", any_case=True), ["web", "Web2"]),
        (CompletionContext(EMPTY, "we", ("web",), any_case=True), ["Web2"]),
    ],
)
def test_texts_that_begin_with_the_word_fit_unless_they_were_given(
    context: CompletionContext, matches: list[str]
) -> None:
    assert context.matching(["web", "Web2", "db"]) == matches
    assert context.fits("web") == ("web" in matches)


def test_a_long_list_is_truncated_without_a_change_of_its_common_prefix() -> None:
    names = [f"ab{i:03}" for i in range(200)] + ["aa", "az"]
    shown = completers.truncate(names, str)
    assert len(shown) == 100
    assert shown[:98] == names[:98]
    assert set(shown[98:]) == {"aa", "az"}
    assert completers.truncate(names[:100], str) == names[:100]


def test_a_name_on_two_nodes_needs_its_node() -> None:
    views = [node("ham0", guest("web"), guest("db")), node("ham1", guest("web", "ham1"))]
    complete = completers.guests(completers.any_guest)
    assert texts(complete, *views) == ["db", "ham0:", "ham1:"]
    assert texts(complete, *views, word="ham0:") == ["ham0:web", "ham0:db"]
    assert texts(complete, views[0]) == ["db", "web"]


def test_a_filter_selects_the_guests_but_not_the_names_that_are_unique() -> None:
    views = [node("ham0", guest("web", memory_bytes=2)), node("ham1", guest("web", "ham1"), guest("db", "ham1"))]
    large = completers.guests(lambda guest: guest.memory_bytes > 2)
    assert texts(large, *views) == ["db", "ham1:"]


def test_guests_of_a_node_that_is_off_are_not_offered() -> None:
    assert texts(completers.guests(completers.any_guest), node("ham0", guest("web"), phase=Phase.OFF)) == []


@pytest.mark.parametrize("name", ["a:b", "-x", "a\x1bb"])
def test_a_name_that_cannot_be_typed_alone_is_not_offered_alone(name: str) -> None:
    assert texts(completers.guests(completers.any_guest), node("ham0", guest(name))) == []


def test_a_new_guest_is_offered_the_nodes_with_enough_memory() -> None:
    views = [node("ham0", memory_bytes=1 << 30), node("ham1", memory_bytes=8 << 30), node("ham2", phase=Phase.UNSEEN)]
    assert texts(completers.nodes_with_room, *views) == ["ham0:", "ham1:"]
    assert texts(completers.nodes_with_room, *views, options={"memory": "4G"}) == ["ham1:"]
    # A value that is not complete yet does not count.
    assert texts(completers.nodes_with_room, *views, options={"memory": "x"}) == ["ham0:", "ham1:"]
    assert texts(completers.nodes_with_room, *views, options={"memory": "64G"}) == ["ham2:"]


def test_files_are_offered_by_suffix_and_directories_by_path(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "directory").mkdir(parents=True)
    for name in ("a.mclu", "b.txt", ".hidden.mclu"):
        (top / name).touch()
    context = CompletionContext(EMPTY, f"{top}/")
    assert list(completers.files(context, ".mclu")) == [
        Candidate(f"{top}/a.mclu", display="a.mclu"),
        Candidate(f"{top}/directory/", display="directory/", is_complete=False),
    ]
    assert [one.display for one in completers.files(context._replace(word=f"{top}/.h"), ".mclu")] == [".hidden.mclu"]
    assert list(completers.files(context._replace(word=f"{top}/none/"))) == []


def test_aliases_are_described_by_their_texts() -> None:
    context = CompletionContext(EMPTY, aliases={"st": "status\n ham0", "ls": "list"})
    assert completers.aliases(context) == [Candidate("ls", "list"), Candidate("st", "status ham0")]


def test_time_zones_are_those_of_the_database() -> None:
    zones = {candidate.text for candidate in completers.timezones(CompletionContext(EMPTY))}
    assert "Europe/London" in zones
    assert "localtime" not in zones
