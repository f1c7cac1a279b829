import os
import shlex
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mclu_shell.cloud.state.guest import Guest, NodeInfo
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.command_loader import command_names
from mclu_shell.completion import complete, prepare
from mclu_shell.language import parser

GIB = 1 << 30


def view(name: str, phase: Phase, free_bytes: int | None = None, /, **guests: str) -> NodeView:
    there = tuple(Guest(name, guest, guest, state, 2 * GIB, 1) for guest, state in sorted(guests.items()))
    # The memory of active guests is not free.
    used = sum(guest.memory_bytes for guest in there if guest.is_active)
    info = None if free_bytes is None else NodeInfo(8, free_bytes + used, free_bytes + used)
    return NodeView(name, NodeState(phase, 0.0), there, info)


# `mail` is on two nodes.
GUESTS = {"web": "running", "db": "shut off", "mail": "running"}
ODD = {"my guest": "running", "Hugo": "running", "mail": "shut off", "it's": "paused", "a:b": "running"}
SNAPSHOT = Snapshot(
    (
        view("ham0", Phase.ON, 20 * GIB, **GUESTS),
        view("ham1", Phase.OFF, gone="shut off", lost="running"),
        view("ham2", Phase.FAULTY),
        view("egg", Phase.OFF),
        view("Spam", Phase.ON, 4 * GIB, **ODD),
    )
)


def offered(text: str, snapshot: Snapshot = SNAPSHOT) -> list[str]:
    return [candidate.text for candidate in complete(text, snapshot).candidates]


def about(text: str, snapshot: Snapshot = SNAPSHOT) -> dict[str, str]:
    return {candidate.text: candidate.description for candidate in complete(text, snapshot).candidates}


def test_an_empty_line_completes_to_all_commands_with_summaries() -> None:
    candidates = complete("", SNAPSHOT).candidates
    assert [candidate.text for candidate in candidates] == command_names()
    assert all(candidate.description for candidate in candidates)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("stat", ["status"]),
        ("list; stat", ["status"]),
        ("list | less; stat", ["status"]),
        ("list > x; stat", ["status"]),
        ("bo", ["boot"]),
        ("zzz", []),
        ("zzz ", []),
        ("zzz --", []),
        ("status ", ["ham0", "ham1", "ham2", "egg", "Spam"]),
        ("status h", ["ham0", "ham1", "ham2"]),
        ("status 'h", ["ham0", "ham1", "ham2"]),
        ("on ", ["ham1", "egg"]),
        ("list;on ", ["ham1", "egg"]),
        ("off ", ["ham0", "ham2", "Spam"]),
        ("on ham1 ", ["egg"]),
        ("on ham1 egg ", []),
        ("wait ", ["node", "guest"]),
        ("wait node ham0 ", ["ham1", "ham2", "egg", "Spam", "on", "off"]),
        ("wait node ham0 on ", []),
        ("wait guest w", ["web"]),
        ("wait guest web ru", ["running"]),
        ("wait guest web console ", []),
        ("wait guest web running --timeout ", ["60", "300", "600"]),
        ("list --", ["--help", "--active", "--all", "--inactive", "--templates", "--sort", "--columns", "--watch"]),
        ("list --act", ["--active"]),
        # The options exclude each other.
        ("list --active --", ["--help", "--sort", "--columns", "--watch"]),
        ("list --sort m", ["memory", "min-memory", "min-size"]),
        ("list --columns guest,m", ["guest,memory", "guest,min-memory", "guest,min-size"]),
        ("status --columns=node,fr", ["--columns=node,free"]),
        ("status --watch ", ["2", "5", "30", "ham0", "ham1", "ham2", "egg", "Spam"]),
        ("destroy -y web -", ["--help"]),
        ("destroy web -- -", []),
        ("list ", []),
        ("list x", []),
        ("on ham1 --w", ["--wait"]),
        # The value is optional, so a node or another option may follow.
        ("on --wait ", ["60", "300", "600", "ham1", "egg"]),
        ("on --wait e", ["egg"]),
        ("on --wait 60 ham1 ", ["egg"]),
        ("on --wait ham1 ", ["egg"]),
        ("on --wait --", ["--help"]),
        ("on --wait=", ["--wait=60", "--wait=300", "--wait=600"]),
        ("on --wait=6", ["--wait=60", "--wait=600"]),
        ("on --no-such=", []),
        ("destroy --yes=", []),
        ("help stat", ["status"]),
        ("help status li", ["list"]),
        ("# ", []),
        ("!l", []),
        ("status | gr", []),
        ("> st", []),
    ],
)
def test_candidates_fit_the_command_and_its_earlier_arguments(text: str, candidates: list[str]) -> None:
    assert offered(text) == candidates


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("console ", ["Hugo", "'it'\"'\"'s'", "'my guest'", "web", "ham0:", "Spam:"]),
        ("shutdown ", ["Hugo", "'it'\"'\"'s'", "'my guest'", "web", "ham0:", "Spam:"]),
        ("reboot w", ["web"]),
        ("reboot web w", []),
        ("viewer --print w", ["web"]),
        ("start ", ["db", "'it'\"'\"'s'", "ham0:", "Spam:"]),
        ("start ham0:", ["ham0:db"]),
        ("start Spam:", ["'Spam:it'\"'\"'s'", "Spam:mail"]),
        ("start Spam:mail Spam:", ["'Spam:it'\"'\"'s'"]),
        ("destroy ham0:", ["ham0:db", "ham0:mail", "ham0:web"]),
        ("destroy m", ["'my guest'"]),
        ("console ham0:m", ["ham0:mail"]),
        # A colon in a guest's name would be parsed as the end of a node's name.
        ("console a", []),
        ("console Spam:a", ["Spam:a:b"]),
        ("console ham1:", []),
        ("start g", []),
        ("console egg:", []),
    ],
)
def test_guests_are_completed_by_name_or_after_their_node(text: str, candidates: list[str]) -> None:
    assert offered(text) == candidates


def test_a_blank_follows_only_complete_words() -> None:
    def whole(text: str) -> list[bool]:
        return [candidate.is_complete for candidate in complete(text, SNAPSHOT).candidates]

    assert whole("console ham") == [False]
    assert whole("boot tiny ham") == [False]
    assert whole("console ham0:w") == [True]
    assert whole("status ham0") == [True]


def test_a_guest_whose_name_looks_like_an_option_is_completed_after_its_node() -> None:
    snapshot = Snapshot((view("ham0", Phase.ON, **{"-x": "running", "a\nb": "running"}),))
    assert offered("console ", snapshot) == []
    assert offered("console ham0:", snapshot) == ["ham0:-x"]
    assert offered("console h", Snapshot((*snapshot.nodes, view("ham1", Phase.OFF)))) == ["ham0:"]


def test_guests_of_the_only_node_need_no_host() -> None:
    assert offered("console ", Snapshot(SNAPSHOT.nodes[:1])) == ["mail", "web"]


def test_candidates_are_described_by_state_node_and_memory() -> None:
    assert about("status ") == {
        "ham0": "on, 20G free",
        "ham1": "off",
        "ham2": "faulty",
        "egg": "off",
        "Spam": "on, 4G free",
    }
    assert about("console w") == {"web": "running on ham0, 2G"}
    assert about("start ham0:") == {"ham0:db": "shut off on ham0, 2G"}
    assert about("console h") == {"ham0:": "on, 2 guests"}
    assert about("start h") == {"ham0:": "on, 1 guest"}


def test_a_faulty_node_is_described_by_its_error() -> None:
    state = NodeState(Phase.FAULTY, 0.0, "libvirtd not answering")
    assert about("status ", Snapshot((NodeView("ham0", state),))) == {"ham0": "faulty: libvirtd not answering"}


class TestBoot:
    def test_nodes_with_enough_memory_are_completed_with_their_free_memory(self) -> None:
        assert about("boot tiny ") == {"ham0:": "on, 20G free", "Spam:": "on, 4G free"}
        assert about("boot tiny --memory 8G ") == {"ham0:": "on, 20G free"}
        assert about("boot --memory=8G tiny S") == {}
        assert offered("boot tiny --memory 21G ") == []
        assert offered("boot tiny --memory what ") == ["ham0:", "Spam:"]

    def test_a_full_node_is_omitted_and_a_node_of_unknown_memory_is_not(self) -> None:
        snapshot = Snapshot((view("ham0", Phase.ON, 1 << 20), view("ham1", Phase.ON)))
        assert about("boot tiny ", snapshot) == {"ham1:": "on"}

    @pytest.mark.parametrize("phase", [Phase.UNSEEN, Phase.CONNECTING])
    def test_nodes_of_unknown_state_are_completed_only_if_no_node_is_on(self, phase: Phase) -> None:
        unknown = view("ham1", phase)
        assert offered("boot tiny ", Snapshot((view("ham0", Phase.OFF), unknown))) == ["ham1:"]
        assert offered("boot tiny ", Snapshot((view("ham0", Phase.ON), unknown))) == ["ham0:"]

    def test_values_of_options_are_not_taken_for_arguments(self) -> None:
        assert offered("boot --memory 4G --console tiny h") == ["ham0:"]
        assert offered("boot tiny web --memory ") == ["1G", "2G", "4G", "8G"]
        assert offered("boot tiny web --memory -") == []
        assert offered("boot tiny web --memory=") == ["--memory=1G", "--memory=2G", "--memory=4G", "--memory=8G"]
        assert offered("boot tiny web h") == []

    def test_time_zones_are_completed(self) -> None:
        assert offered("boot tiny web --timezone Europe/Lon") == ["Europe/London"]
        # The directory also has the file `localtime`.
        assert all(zone.startswith("L") for zone in offered("boot tiny web --timezone l"))
        assert offered("boot tiny web --timezone=europe/lon") == ["--timezone=Europe/London"]

    def test_templates_are_completed_without_running_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        template = tmp_path / "mine.template"
        template.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
        template.chmod(0o755)
        monkeypatch.setenv("MCLU_PATH", str(tmp_path))
        assert offered("boot ") == offered("template show ") == ["mine"]
        assert not (tmp_path / "was-run").exists()


class TestCase:
    def test_case_is_ignored_only_if_no_candidate_matches_exactly(self) -> None:
        assert offered("console h") == ["ham0:"]
        assert offered("console H") == ["Hugo"]
        assert offered("console hu") == ["Hugo"]
        assert offered("status s") == ["Spam"]
        assert offered("console spam:HU") == ["Spam:Hugo"]
        assert offered("STAT") == ["status"]


class TestQuotes:
    @pytest.mark.parametrize("text", ["console my", "console 'my", 'console "my g', "console my\\ gu", "console m'y g"])
    def test_a_candidate_is_quoted_if_necessary(self, text: str) -> None:
        assert offered(text) == ["'my guest'"]
        assert complete(text, SNAPSHOT).start == len("console ")

    def test_a_guest_after_its_node_is_quoted_if_necessary(self) -> None:
        assert offered("console 'Spam:my g") == offered("console Spam:'my g") == ["'Spam:my guest'"]

    def test_the_menu_shows_the_name_without_quotes(self) -> None:
        assert [candidate.display for candidate in complete("console it", SNAPSHOT).candidates] == ["it's"]

    def test_quotes_in_earlier_words_do_not_matter(self) -> None:
        assert offered("console 'web' W") == []
        assert offered("'console' we") == ["web"]


class TestFiles:
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "no-templates").rmdir()
        for name in ("my dir", "sub"):
            (tmp_path / name).mkdir()
        for name in ("web.log", "web 2.log", ".hidden", "x.template", "sub/below", "my dir/a", "my dir/b"):
            (tmp_path / name).touch()

    @pytest.mark.parametrize(
        ("text", "candidates"),
        [
            ("console web --log ", ["'my dir/'", "sub/", "'web 2.log'", "web.log", "x.template"]),
            ("console web --log s", ["sub/"]),
            ("console web --log=s", ["--log=sub/"]),
            ("console web --log=web.", ["--log=web.log"]),
            ("console web --log sub/", ["sub/below"]),
            ("console web --log SUB/", []),
            ("console web --log WEB.", ["web.log"]),
            ("console web --log .", [".hidden"]),
            ("console web --log 'my dir/'", ["'my dir/a'", "'my dir/b'"]),
            ("console web --log 'my dir/", ["'my dir/a'", "'my dir/b'"]),
            ("console web --log nosuch/", []),
            ("console web --log ~", ["~/"]),
            ("console web --log ~/su", ["~/sub/"]),
            ("console web --log ~/my", ["'~/my dir/'"]),
            ("console web --log \0", []),
            ("list >", ["'my dir/'", "sub/", "'web 2.log'", "web.log", "x.template"]),
            ("list > web.", ["web.log"]),
            ("list >>web.", ["web.log"]),
            ("status; list >> web.", ["web.log"]),
            ("list > web.log ", []),
            ("list > web.log w", []),
            # Templates by name; directories for a path, or if no template matches.
            ("template check ", ["x.template"]),
            ("template check ./", ["'./my dir/'", "./sub/", "./x.template"]),
            ("template check s", ["sub/"]),
            ("template check ./s", ["./sub/"]),
        ],
    )
    def test_paths_are_completed(self, text: str, candidates: list[str]) -> None:
        assert offered(text) == candidates

    def test_a_directory_is_incomplete_and_the_menu_shows_its_last_part(self, tmp_path: Path) -> None:
        (candidates,) = complete("list > ~/su", SNAPSHOT).candidates
        assert (candidates.display, candidates.is_complete) == ("sub/", False)

    def test_a_template_hides_directories_with_the_same_prefix(self) -> None:
        Path("x-files").mkdir()
        assert offered("template check x") == ["x.template"]
        assert offered("template check ./x") == ["./x-files/", "./x.template"]

    def test_a_file_name_with_a_newline_or_invalid_utf_8_is_omitted(self) -> None:
        Path("bad\nname").touch()
        Path(os.fsdecode(b"bad\xffname")).touch()
        assert offered("list > bad") == []


@cache
def many() -> Snapshot:
    """Return 10,000 guests on 300 nodes, and one node and one guest with different names."""

    def node(i: int) -> NodeView:
        guests = {f"guest-{i:03}-{j:02}": "running" if j % 2 else "shut off" for j in range(34)}
        return view(f"node{i:03}", Phase.ON, (i + 1) * GIB, **guests)

    return Snapshot((*(node(i) for i in range(300)), view("zebra", Phase.ON, GIB, zoo="running")))


class TestTenThousandGuests:
    # The menu has 50 ms, of which this is the smaller part; scripts/bench measures all of it.
    @pytest.mark.parametrize("text", ["console ", "console guest-", "console G", "destroy node", "status ", "boot x "])
    def test_ten_thousand_guests_are_completed_within_50_ms(self, text: str) -> None:
        prepare()

        def seconds() -> float:
            started = time.perf_counter()
            assert complete(text, many()).candidates
            return time.perf_counter() - started

        assert min(seconds() for _ in range(5)) < 0.05

    @pytest.mark.parametrize(
        ("text", "common"),
        [
            ("console ", ""),
            ("console guest-", "guest-"),
            ("console GUEST-", "guest-"),
            ("console node", "node"),
            ("status ", ""),
            ("status node", "node"),
            ("boot x ", ""),
        ],
    )
    def test_omitted_candidates_do_not_change_the_common_prefix(self, text: str, common: str) -> None:
        candidates = offered(text, many())
        assert len(candidates) <= 200
        assert os.path.commonprefix(candidates) == common  # noqa: RUF071


# The first line imports the commands, which is slow.
@settings(deadline=None)
@given(st.text() | st.text(alphabet="stauonflish m0;|>!#'\"\\-= ", max_size=20))
def test_every_candidate_for_any_text_parses_as_one_word(text: str) -> None:
    completions = complete(text, SNAPSHOT)
    assert 0 <= completions.start <= len(text)
    for candidate in completions.candidates:
        assert parser.parse("x " + candidate.text)[0].words[1:] == (shlex.split(candidate.text)[0],)
