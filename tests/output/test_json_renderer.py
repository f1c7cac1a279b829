"""-o json: output and errors of every command."""

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
from tests.output.schema_check import (
    Strict,
    commands_with_dry_run,
    lines,
    plurals,
    promised,
    read,
    read_one,
    words_of,
)
from tests.support.mclu import InProcess

# Lines for each command, some of them wrong; the nodes and guests are those of the demo.
LINES = {
    "alias": ["alias", "alias st=status", "alias st", "alias nosuch", "alias 'a b=c'"],
    "boot": ["boot mine new", "boot mine new", "boot nosuch x", "boot mine ham3:x", "boot --console mine x"],
    "console": ["console web", "console nosuch"],
    "destroy": ["destroy web", "destroy nosuch", "destroy 'w*'", "destroy 'd*' --yes"],
    "doctor": ["doctor", "doctor ham0 --boot", "doctor ham1", "doctor --fix", "doctor nosuch"],
    "help": ["help", "help status", "help st", "help nosuch", "status --help"],
    "history": ["history", "history 1"],
    "init": ["init", "init --yes", "init 'a b'"],
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
# Records that need real nodes: see tests/lab/test_json.py.
NOT_SIMULATED = {
    "doctor": {"repairs"},
    "viewer": {"screen"},
    "destroy": {"declined"},
    "init": {"candidate", "configuration"},
}


class TestEveryCommand:
    def test_each_has_lines_to_try(self) -> None:
        assert sorted(LINES) == command_names()

    @pytest.mark.parametrize("name", LINES)
    def test_each_declares_a_document_or_lines(self, name: str) -> None:
        module = sys.modules[load_command(name).run.__module__]
        assert hasattr(module, "DOCUMENT") != hasattr(module, "LINES")

    def test_no_name_means_two_things(self) -> None:
        documents = {name for name in command_names() if load_command(name).document is not None} | {"errors"}
        assert not documents & set(lines())
        assert {kind for _, kind in promised()} <= {*lines(), *plurals()}

    @pytest.mark.parametrize("name", LINES)
    def test_output_is_as_documented(self, json_demo: InProcess, text_demo: InProcess, name: str) -> None:
        seen: set[str] = set()
        for line in LINES[name]:
            answer, text = json_demo(line), text_demo(line)
            # Only the form differs, except for a guest's console, which has no JSON.
            if "console" not in line:
                assert (answer.status, answer.err) == (text.status, text.err), line
            answers = read(answer.out)
            errors = [error for one in answers for error in one.get("errors", [one] if one["kind"] == "error" else [])]
            assert len(errors) == answer.err.count("mclu: "), line
            assert max([error["status"] for error in errors], default=0) == answer.status, line
            seen.update(key for one in answers for key, value in one.items() if isinstance(value, list) and value)
            seen.update(one["kind"] for one in answers if one["kind"] in lines())
        declared = {kind for command, kind in promised() if command == name}
        assert declared - seen == NOT_SIMULATED.get(name, set())
        # `read` has checked the documents.
        assert seen & set(lines()) <= {*declared, "error"}
        # The groups of 'help' and its closing text.
        assert Strict.headings == (7 if name == "help" else 0)


class TestDryRun:
    @pytest.mark.parametrize("name", sorted(commands_with_dry_run()))
    def test_output_is_as_documented(self, json_demo: InProcess, clouds: Callable[..., InProcess], name: str) -> None:
        dry, text_demo = clouds(renderer=Strict, is_dry=True), clouds(is_dry=True)
        seen = set()
        for line in LINES[name]:
            if "console" in line:
                continue
            answer, text = dry(line), text_demo(line)
            assert (answer.status, answer.err) == (text.status, text.err), line
            seen |= {one["kind"] for one in read(answer.out)}
        # The simulated nodes have no screens to look at, and no mclu.conf to write.
        assert ("planned" in seen) == (name not in ("viewer", "init"))
        assert seen <= {"planned", "error", "errors"}
        assert Strict.headings == 0

    def test_records_have_the_line_of_the_script(self, clouds: Callable[..., InProcess], tmp_path: Path) -> None:
        dry = clouds(renderer=JSONRenderer, is_dry=True)
        answers = read(dry.script(f"status ham1 > {tmp_path}/x\non ham1\n!rm -r x\nlist | cat\ndestroy web\n").out)
        assert [(one["kind"], one.get("verb"), one.get("node"), one.get("line")) for one in answers] == [
            ("status", None, None, None),
            ("planned", "write this to", None, 1),
            ("planned", "wake", "ham1", 2),
            ("planned", "run in your shell", None, 3),
            ("list", None, None, None),
            ("planned", "hand this to your shell", None, 4),
            ("planned", "destroy", "ham0", 5),
            # The guests of ham1 are unknown until it is up.
            ("error", None, None, 5),
        ]
        assert {one["file"] for one in answers if one["kind"] in ("planned", "error")} == {"x.mclu"}
        assert answers[1]["path"] == f"{tmp_path}/x"
        assert not (tmp_path / "x").exists()

    def test_files_and_sizes_have_keys(self, json_demo: InProcess) -> None:
        json_demo("boot mine old")
        image = Path(json_demo.cloud.nodes[0].config.images) / "old.qcow2"
        image.write_bytes(bytes(5000))
        dry = InProcess(json_demo.cloud, renderer=JSONRenderer, is_dry=True)
        boot, wake, destroy = read(dry("boot mine new --memory 1.5G --size 20G; on ham1; destroy old").out)
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
        ("error", "place", "values"),
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
            # The name of a guest after that of its node is no line number.
            (MCluError("x", place="ham0:7"), "", ("failed", "ham0:7", "x", None, 1, None, None)),
        ],
    )  # fmt: skip
    def test_errors_are_records(self, error: MCluError, place: str, values: tuple[object, ...]) -> None:
        record = error_record(error, place)
        assert (
            record.error, record.place, record.fact, record.remedy, record.status, record.file, record.line
        ) == values  # fmt: skip

    def test_each_class_has_a_code_of_its_own(self) -> None:
        def kinds(kind: type[MCluError]) -> list[type[MCluError]]:
            return [kind, *(one for child in kind.__subclasses__() for one in kinds(child))]

        assert all("code" in vars(kind) for kind in kinds(MCluError))
        codes = [kind.code for kind in kinds(MCluError)]
        assert len(set(codes)) == len(codes)
        assert all(code.replace("-", "").isalpha() and code.islower() for code in codes)

    def test_errors_of_nodes_stand_beside_the_other_nodes(
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
        status = read_one(answer.out)
        assert answer.status == 1
        assert [(node["name"], node["power"]) for node in status["nodes"]] == [
            ("off", "off"), ("nosshd", "on"), ("nowhere", "unknown"), ("good", "on")
        ]  # fmt: skip
        assert [bool(node["fault"]) for node in status["nodes"]] == [False, True, True, False]
        assert [bool(node["memory_bytes"]) for node in status["nodes"]] == [False, False, False, True]
        assert [(error["error"], error["place"]) for error in status["errors"]] == [
            ("ssh-silent", "nosshd"), ("unreachable", "nowhere")
        ]  # fmt: skip
        listed = read_one(cloud("list").out)
        assert [(guest["node"], guest["name"]) for guest in listed["guests"]] == [("good", "test")]
        assert words_of(listed["errors"]) == ["ssh-silent", "unreachable"]

    def test_errors_have_the_line_of_the_script(self, json_demo: InProcess) -> None:
        answer = json_demo.script("status ham1\nstatus nosuch\n")
        first, second = read(answer.out)
        assert [node["name"] for node in first["nodes"]] == ["ham1"]
        (error,) = second["errors"]
        assert (error["error"], error["file"], error["line"]) == ("not-found", "x.mclu", 2)

    def test_all_errors_of_a_script_are_one_document(self, json_demo: InProcess) -> None:
        document = read_one(json_demo.script("lst\nstatus\non\n").out)
        assert document["kind"] == "errors"
        assert [(error["file"], error["line"], error["status"]) for error in document["errors"]] == [
            ("x.mclu", 1, 2), ("x.mclu", 3, 2)
        ]  # fmt: skip

    def test_a_defect_of_mclu_is_an_error(self, json_demo: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> None:
            raise ZeroDivisionError("boom")

        monkeypatch.setattr(json_demo.session._cloud, "_open_cloud", broken)  # noqa: SLF001
        document = read_one(json_demo("status").out)
        assert words_of(document["errors"]) == ["failed"]
        assert document["nodes"] == []


class TestForm:
    def test_several_commands_are_a_line_each(self, json_demo: InProcess) -> None:
        answers = read(json_demo("status; list --active; on ham1 --wait").out)
        assert [answer["kind"] for answer in answers] == ["status", "list", "waking", "power"]

    def test_the_values_of_changes_are_fixed(self, json_demo: InProcess) -> None:
        answers = read(json_demo("reboot web; reboot --hard web; shutdown web; start web").out)
        assert [one["change"] for one in answers] == ["told to reboot", "reset", "shut down", "started"]

    def test_a_nested_script_has_its_own_documents(self, json_demo: InProcess, tmp_path: Path) -> None:
        (tmp_path / "x.mclu").write_text("status ham1\non ham2\nstatus nosuch\n")
        answer = json_demo(f"run {tmp_path}/x.mclu")
        assert [one["kind"] for one in read(answer.out)] == ["status", "waking", "status"]
        assert answer.status == 1

    def test_any_name_is_written_in_printable_ascii(self, json_demo: InProcess) -> None:
        name = "hä:вeб\x1b[2J\x7f\x9b2J\u202e\n\ud800"
        json_demo.session.interaction = Interaction(prompt=Prompt(list, {"x": name}, {}, list))
        out = json_demo("alias").out
        assert read_one(out)["aliases"] == [{"name": "x", "text": name}]
        assert out.rstrip("\n").isprintable()

    def test_cached_data_has_its_time(self, json_demo: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        node = json_demo.cloud.nodes[0]
        json_demo("status ham0; list")
        # A node that is on, but refuses the login.
        refused = SSHRefused("ssh: permission denied for root", place="ham0")
        monkeypatch.setattr(node, "query", raiser(refused))
        status, listed = read(json_demo("status ham0").out + json_demo("list --active").out)
        assert (status["nodes"][0]["used_guests"], status["nodes"][0]["fault"]) == (2, refused.fact)
        assert {one["as_of"] is None for one in (*status["nodes"], *listed["guests"])} == {False}
        assert [guest["name"] for guest in listed["guests"]] == ["db", "web"]

    def test_answers_go_to_files_and_programs_as_well(self, json_demo: InProcess, tmp_path: Path) -> None:
        assert json_demo(f"status nosuch > {tmp_path}/x; status").out == ""
        assert words_of(read_one((tmp_path / "x").read_text())["errors"]) == ["not-found"]
        json_demo(f"status | cat > {tmp_path}/y")
        assert read_one((tmp_path / "y").read_text())["kind"] == "status"

    def test_a_console_is_refused_before_anything_is_done(self, json_demo: InProcess) -> None:
        answer = json_demo("boot --console mine x")
        assert (answer.status, read_one(answer.out)["error"]) == (2, "usage")
        assert "x" not in [guest["name"] for guest in read_one(json_demo("list").out)["guests"]]


def raiser(error: MCluError) -> Callable[..., None]:
    def fail(*_given: object, **_options: object) -> None:
        raise error

    return fail


def test_the_documentation_is_up_to_date() -> None:
    script = Path(__file__).parents[2] / "scripts/json-docs"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), f"run scripts/json-docs: {done.stdout}{done.stderr}"
