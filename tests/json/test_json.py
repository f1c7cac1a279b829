"""-o json: what programs read, from every command and whatever goes wrong."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.command import Prompt
from mclu_shell.command_loader import command_names, load_command
from mclu_shell.errors import ConfigError, MCluError, NodeOff, SSHRefused, UsageError
from mclu_shell.output.json_renderer import JSONRenderer
from mclu_shell.output.schema.error import error_record
from mclu_shell.session.interaction import Interaction
from tests.conftest import InProcess
from tests.json.documents import Strict, asked, plain, words_of
from tests.json.schema_check import commands_with_dry_run, lines, plurals, promised, read, read_one

__all__ = ["asked", "plain"]


# Lines for each command, some of them wrong; the nodes and guests are those of the demo.
LINES = {
    "alias": ["alias", "alias st=status", "alias st", "alias nosuch", "alias 'a b=c'"],
    "boot": ["boot mine new", "boot mine new", "boot nosuch x", "boot mine ham3:x", "boot --console mine x"],
    "console": ["console web", "console nosuch"],
    "destroy": ["destroy web", "destroy nosuch", "destroy 'w*'", "destroy 'd*' --yes"],
    "help": ["help", "help status", "help st", "help nosuch", "status --help"],
    "history": ["history", "history 1"],
    "list": ["list", "list --active", "list --inactive", "list --templates", "list --bogus"],
    "off": ["off ham0", "off ham1", "off ham0 ham1", "off nosuch"],
    "on": ["on ham1", "on ham1 --wait", "on nosuch"],
    "quit": ["quit"],
    "reboot": ["reboot web", "reboot web --hard", "reboot nosuch"],
    "run": ["run /nosuch"],
    "set": ["set", "set alerts", "set alerts off", "set nosuch"],
    "shutdown": ["shutdown web", "shutdown web", "shutdown web --timeout x"],
    "start": ["start web", "shutdown web; start web", "start nosuch"],
    "status": ["status", "status ham1", "status nosuch", "status 'x*'", "status 'a"],
    "template": ["template show mine", "template check mine", "template check old", "template show old"],
    "unalias": ["unalias st", "unalias nosuch"],
    "viewer": ["viewer --print web", "viewer nosuch"],
    "wait": ["wait node ham0", "wait guest web running", "wait guest web off --timeout 0.1", "wait guest web"],
}
# What the simulated nodes do not have; tests/lab/test_json.py has it.
NOT_SIMULATED = {"viewer": {"screen"}}


class TestEveryCommand:
    def test_each_is_tried(self) -> None:
        assert sorted(LINES) == command_names()

    @pytest.mark.parametrize("name", LINES)
    def test_each_says_in_its_module_how_it_answers(self, name: str) -> None:
        module = sys.modules[load_command(name).run.__module__]
        assert hasattr(module, "DOCUMENT") != hasattr(module, "LINES")

    def test_no_name_means_two_things(self) -> None:
        documents = {name for name in command_names() if load_command(name).document is not None} | {"errors"}
        assert not documents & set(lines())
        assert {kind for _, kind in promised()} <= {*lines(), *plurals()}

    @pytest.mark.parametrize("name", LINES)
    def test_all_that_it_says_is_as_documented(self, asked: InProcess, plain: InProcess, name: str) -> None:
        seen: set[str] = set()
        for line in LINES[name]:
            answer, told = asked(line), plain(line)
            # Nothing but the form of the answer is another; only a guest's console has no such form.
            if "console" not in line:
                assert (answer.status, answer.err) == (told.status, told.err), line
            answers = read(answer.out)
            errors = [error for one in answers for error in one.get("errors", [one] if one["kind"] == "error" else [])]
            assert len(errors) == answer.err.count("mclu: "), line
            assert max([error["status"] for error in errors], default=0) == answer.status, line
            seen.update(key for one in answers for key, value in one.items() if isinstance(value, list) and value)
            seen.update(one["kind"] for one in answers if one["kind"] in lines())
        wanted = {kind for command, kind in promised() if command == name}
        assert wanted - seen == NOT_SIMULATED.get(name, set())
        # What is in no document of the command is found by `read`.
        assert seen & set(lines()) <= {*wanted, "error"}
        # Those of 'help', and what it says at its end.
        assert Strict.headings == (7 if name == "help" else 0)


class TestDryRun:
    @pytest.mark.parametrize("name", sorted(commands_with_dry_run()))
    def test_what_would_be_done_is_as_documented(
        self, asked: InProcess, clouds: Callable[..., InProcess], name: str
    ) -> None:
        told, plain = clouds(renderer=Strict, is_dry=True), clouds(is_dry=True)
        seen = set()
        for line in LINES[name]:
            if "console" in line:
                continue
            answer, words = told(line), plain(line)
            assert (answer.status, answer.err) == (words.status, words.err), line
            seen |= {one["kind"] for one in read(answer.out)}
        # The simulated nodes have no screens to look at.
        assert ("planned" in seen) == (name != "viewer")
        assert seen <= {"planned", "error", "errors"}
        assert Strict.headings == 0

    def test_a_script_says_which_line_it_is(self, clouds: Callable[..., InProcess], tmp_path: Path) -> None:
        told = clouds(renderer=JSONRenderer, is_dry=True)
        answers = read(told.script(f"status ham1 > {tmp_path}/x\non ham1\n!rm -r x\nlist | cat\ndestroy web\n").out)
        assert [(one["kind"], one.get("verb"), one.get("node"), one.get("line")) for one in answers] == [
            ("status", None, None, None),
            ("planned", "write this to", None, 1),
            ("planned", "wake", "ham1", 2),
            ("planned", "run in your shell", None, 3),
            ("list", None, None, None),
            ("planned", "hand this to your shell", None, 4),
            ("planned", "destroy", "ham0", 5),
            # What ham1 will have when it is up is not known.
            ("error", None, None, 5),
        ]
        assert {one["file"] for one in answers if one["kind"] in ("planned", "error")} == {"x.mclu"}
        assert answers[1]["path"] == f"{tmp_path}/x"
        assert not (tmp_path / "x").exists()

    def test_what_would_be_made_and_deleted_needs_no_reading_of_words(self, asked: InProcess) -> None:
        asked("boot mine old")
        image = Path(asked.cloud.nodes[0].config.images) / "old.qcow2"
        image.write_bytes(bytes(5000))
        told = InProcess(asked.cloud, renderer=JSONRenderer, is_dry=True)
        boot, wake, destroy = read(told("boot mine new --memory 1.5G --size 20G; on ham1; destroy old").out)
        assert {key: boot[key] for key in ("node", "path", "memory_bytes", "vcpus", "size_bytes")} == {
            "node": "ham0",
            "path": str(image.with_name("new.qcow2")),
            "memory_bytes": 3 << 29,
            "vcpus": 4,
            "size_bytes": 20 << 30,
        }
        assert wake["mac"] == "74:d4:35:51:ab:87"
        assert destroy["deleted"] == [{"path": str(image), "size_bytes": image.stat().st_blocks * 512}]
        assert destroy["kept"] == []


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "place", "told"),
        [
            (NodeOff("ham1"), "", ("node-off", "ham1", "is off", "run 'on ham1'", 1, None, None)),
            (NodeOff("ham1"), "a b:7", ("node-off", "ham1", "is off", "run 'on ham1'", 1, "a b", 7)),
            (MCluError("x"), "stdin:12", ("failed", None, "x", None, 1, "stdin", 12)),
            (UsageError("x", place="a:b.mclu:3"), "", ("usage", "a:b.mclu:3", "x", None, 2, "a:b.mclu", 3)),
            (UsageError("x", place="line 2"), "", ("usage", "line 2", "x", None, 2, None, 2)),
            (ConfigError("x", place="/etc/mclu.conf:4"), "", ("config", "/etc/mclu.conf:4", "x", None, 2,
             "/etc/mclu.conf", 4)),
            (ConfigError("x", place="/nosuch"), "", ("config", "/nosuch", "x", None, 2, "/nosuch", None)),
            (SSHRefused("x", place="ham1", remedy="y"), "", ("ssh-refused", "ham1", "x", "y", 1, None, None)),
            # A guest's name after a node's is no line.
            (MCluError("x", place="ham0:7"), "", ("failed", "ham0:7", "x", None, 1, None, None)),
        ],
    )  # fmt: skip
    def test_they_are_objects(self, error: MCluError, place: str, told: tuple[object, ...]) -> None:
        record = error_record(error, place)
        assert (
            record.error, record.place, record.fact, record.remedy, record.status, record.file, record.line
        ) == told  # fmt: skip

    def test_each_class_has_a_code_of_its_own(self) -> None:
        def kinds(kind: type[MCluError]) -> list[type[MCluError]]:
            return [kind, *(one for child in kind.__subclasses__() for one in kinds(child))]

        assert all("code" in vars(kind) for kind in kinds(MCluError))
        codes = [kind.code for kind in kinds(MCluError)]
        assert len(set(codes)) == len(codes)
        assert all(code.replace("-", "").isalpha() and code.islower() for code in codes)

    def test_those_of_nodes_stand_beside_what_the_others_say(
        self, clouds: Callable[..., InProcess], silent_port: int, closed_port: int
    ) -> None:
        cloud = clouds(
            "[global]\nconnect_timeout=0.3\n[nodes]\n"
            f"off address=127.0.0.1 port={silent_port}\n"
            f"nosshd address=127.0.0.1 port={closed_port}\n"
            "nowhere address=fe80::1%nosuch\n"
            "good via=local uri=test:///default\n",
            renderer=JSONRenderer,
        )
        answer = cloud("status")
        told = read_one(answer.out)
        assert answer.status == 1
        assert [(node["name"], node["power"]) for node in told["nodes"]] == [
            ("off", "off"), ("nosshd", "on"), ("nowhere", "unknown"), ("good", "on")
        ]  # fmt: skip
        assert [bool(node["fault"]) for node in told["nodes"]] == [False, True, True, False]
        assert [bool(node["memory_bytes"]) for node in told["nodes"]] == [False, False, False, True]
        assert [(error["error"], error["place"]) for error in told["errors"]] == [
            ("ssh-silent", "nosshd"), ("unreachable", "nowhere")
        ]  # fmt: skip
        listed = read_one(cloud("list").out)
        assert [(guest["node"], guest["name"]) for guest in listed["guests"]] == [("good", "test")]
        assert words_of(listed["errors"]) == ["ssh-silent", "unreachable"]

    def test_a_script_says_where(self, asked: InProcess) -> None:
        answer = asked.script("status ham1\nstatus nosuch\n")
        first, second = read(answer.out)
        assert [node["name"] for node in first["nodes"]] == ["ham1"]
        (error,) = second["errors"]
        assert (error["error"], error["file"], error["line"]) == ("not-found", "x.mclu", 2)

    def test_all_that_is_wrong_with_a_script_is_one_document(self, asked: InProcess) -> None:
        told = read_one(asked.script("lst\nstatus\non\n").out)
        assert told["kind"] == "errors"
        assert [(error["file"], error["line"], error["status"]) for error in told["errors"]] == [
            ("x.mclu", 1, 2), ("x.mclu", 3, 2)
        ]  # fmt: skip

    def test_a_defect_is_one_too(self, asked: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> None:
            raise ZeroDivisionError("boom")

        monkeypatch.setattr(asked.session._cloud, "_open_cloud", broken)  # noqa: SLF001
        told = read_one(asked("status").out)
        assert words_of(told["errors"]) == ["failed"]
        assert told["nodes"] == []


class TestForm:
    def test_several_commands_are_a_line_each(self, asked: InProcess) -> None:
        answers = read(asked("status; list --active; on ham1 --wait").out)
        assert [answer["kind"] for answer in answers] == ["status", "list", "waking", "power"]

    def test_the_values_of_changes_are_fixed(self, asked: InProcess) -> None:
        answers = read(asked("reboot web; reboot --hard web; shutdown web; start web").out)
        assert [one["change"] for one in answers] == ["told to reboot", "reset", "shut down", "started"]

    def test_a_script_that_is_run_within_answers_for_itself(self, asked: InProcess, tmp_path: Path) -> None:
        (tmp_path / "x.mclu").write_text("status ham1\non ham2\nstatus nosuch\n")
        answer = asked(f"run {tmp_path}/x.mclu")
        assert [one["kind"] for one in read(answer.out)] == ["status", "waking", "status"]
        assert answer.status == 1

    def test_whatever_a_name_holds_it_is_ascii_and_nothing_that_a_terminal_obeys(self, asked: InProcess) -> None:
        name = "hä:вeб\x1b[2J\x7f\x9b2J\u202e\n\ud800"
        asked.session.interaction = Interaction(prompt=Prompt(list, {"x": name}, {}, list))
        out = asked("alias").out
        assert read_one(out)["aliases"] == [{"name": "x", "text": name}]
        assert out.rstrip("\n").isprintable()

    def test_what_is_remembered_says_when_it_was(self, asked: InProcess) -> None:
        node = asked.cloud.nodes[0]
        asked("status ham0; list")
        # A machine that is there and does not let us in any more.
        refused = SSHRefused("ssh: permission denied for root", place="ham0")
        node.query = raiser(refused)  # type: ignore[method-assign]
        status, listed = read(asked("status ham0").out + asked("list --active").out)
        assert (status["nodes"][0]["used_guests"], status["nodes"][0]["fault"]) == (2, refused.fact)
        assert {one["as_of"] is None for one in (*status["nodes"], *listed["guests"])} == {False}
        assert [guest["name"] for guest in listed["guests"]] == ["db", "web"]

    def test_answers_go_to_files_and_programs_as_well(self, asked: InProcess, tmp_path: Path) -> None:
        assert asked(f"status nosuch > {tmp_path}/x; status").out == ""
        assert words_of(read_one((tmp_path / "x").read_text())["errors"]) == ["not-found"]
        asked(f"status | cat > {tmp_path}/y")
        assert read_one((tmp_path / "y").read_text())["kind"] == "status"

    def test_a_console_is_refused_before_anything_is_done(self, asked: InProcess) -> None:
        answer = asked("boot --console mine x")
        assert (answer.status, read_one(answer.out)["error"]) == (2, "usage")
        assert "x" not in [guest["name"] for guest in read_one(asked("list").out)["guests"]]


def raiser(error: MCluError) -> Callable[..., None]:
    def fail(*_given: object, **_options: object) -> None:
        raise error

    return fail


def test_the_documentation_is_that_of_the_code() -> None:
    script = Path(__file__).parents[2] / "scripts/json-docs"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), f"scripts/json-docs writes it anew: {done.stdout}{done.stderr}"
