"""-o json with interrupts, pipes and full disks, and from other programs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mclu_shell.output.json_renderer import JSONRenderer
from mclu_shell.session.exit_status import READER_GONE
from tests.output.schema_check import read, read_one, words_of
from tests.support.faults import interrupt_when, unwritable
from tests.support.mclu import Answer, InProcess

Program = Callable[..., Answer]


class TestInterrupts:
    def test_an_incomplete_document_has_an_error(self, json_demo: InProcess, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        hanging = tmp_path / "templates/old.template"
        hanging.write_text(f"#!/bin/sh\ntouch {tmp_path}/began; read line <{gate}\n")
        hanging.chmod(0o755)
        interrupt_when((tmp_path / "began").exists)
        answer = json_demo("list; status")
        document = read_one(answer.out)
        assert (answer.status, answer.err) == (130, "")
        assert (document["kind"], words_of(document["errors"])) == ("list", ["interrupted"])
        assert [guest["name"] for guest in document["guests"]] == ["db", "web"]

    def test_lines_end_with_the_error(self, clouds: Callable[..., InProcess], off_settings: str) -> None:
        cloud = clouds(f"[nodes]\nsilent {off_settings}", renderer=JSONRenderer)
        interrupt_when(lambda: "waking" in cloud.output)
        answer = cloud("on silent --wait; list")
        waking, error = read(answer.out)
        assert (answer.status, waking["kind"], error["error"]) == (130, "waking", "interrupted")


class TestStreams:
    @pytest.mark.parametrize("line", ["status", "on ham1"])
    def test_no_command_runs_after_the_reader_is_gone(self, demo: InProcess, line: str) -> None:
        with unwritable("pipe") as out:
            session = demo.session
            session.renderer = JSONRenderer(out, session.renderer.err)
            assert session.run_text(f"{line}; destroy --yes web") == READER_GONE
        assert "web" in [guest.name for guest in demo.cloud.nodes[0].fetch_guests()]

    @pytest.mark.parametrize("line", ["status", "on ham1", "help"])
    def test_a_full_disk_is_reported(self, demo: InProcess, line: str) -> None:
        with unwritable("full") as out:
            demo.session.renderer = JSONRenderer(out, demo.session.renderer.err)
            answer = demo(line)
        assert (answer.status, answer.err) == (1, "mclu: cannot write the answer: No space left on device\n")

    @pytest.mark.parametrize("line", ["lst", "status 'a", "off ham9; list"])
    @pytest.mark.parametrize("kind", ["full", "pipe"])
    def test_the_exit_status_is_right_if_errors_cannot_be_written(self, demo: InProcess, line: str, kind: str) -> None:
        expected = demo(line)
        with unwritable(kind) as out:
            demo.session.renderer = JSONRenderer(out, demo.session.renderer.err)
            assert demo(line) == replace(expected, out="")

    @pytest.mark.parametrize(
        ("line", "message"),
        [("status > /dev/full", "/dev/full: cannot write: "), ("status > /nosuch/x", "/nosuch/x: ")],
    )
    def test_a_file_that_cannot_be_written_is_reported_elsewhere(
        self, json_demo: InProcess, line: str, message: str
    ) -> None:
        answer = json_demo(line)
        assert words_of(read_one(answer.out)["errors"]) == ["output"]
        assert (answer.status, answer.err.startswith(f"mclu: {message}"), answer.err.count("\n")) == (1, True, 1)

    @pytest.mark.parametrize("reader", ["true", "head -c 1 >/dev/null"])
    def test_a_reader_that_stops_early_is_no_error(self, json_demo: InProcess, reader: str) -> None:
        answers = [json_demo(f"{line} | {reader}") for line in ["status", "help"] for _ in range(5)]
        assert {(answer.status, answer.out, answer.err) for answer in answers} == {(0, "", "")}


class TestProgram:
    """The installed program, called by another one."""

    @pytest.mark.parametrize(
        ("words", "status", "errors"),
        [
            (["--demo", "status"], 0, []),
            (["--demo", "status", "nosuch"], 1, ["not-found"]),
            (["-f", "/nosuch", "status"], 2, ["config"]),
            (["-f", "wrong.conf", "status"], 2, ["config"]),
            (["-f", "empty.conf", "status"], 2, ["config"]),
            (["--demo", "status", "--bogus"], 2, ["usage"]),
            (["--demo", "lst"], 2, ["usage"]),
            (["--demo", "-c", "status 'a"], 2, ["unfinished"]),
            (["--bogus", "status"], 2, ["usage"]),
            (["-c", "status", "list"], 2, ["usage"]),
            (["nosuch.mclu"], 2, ["usage"]),
            (["--check", "good.mclu"], 0, []),
            (["--check", "bad.mclu"], 2, ["usage", "usage"]),
            (["bad.mclu"], 2, ["usage", "usage"]),
        ],
    )
    def test_every_failure_is_one_document(
        self, mclu: Program, tmp_path: Path, words: list[str], status: int, errors: list[str]
    ) -> None:
        (tmp_path / "wrong.conf").write_text("[nodes]\nham0 mac=1\n")
        (tmp_path / "empty.conf").write_text("[nodes]\n")
        (tmp_path / "good.mclu").write_text("status\n")
        (tmp_path / "bad.mclu").write_text("lst\nstatus --bogus\n")
        answer = mclu("-o", "json", *words)
        assert (answer.status, words_of(read_one(answer.out)["errors"])) == (status, errors)
        assert answer.err.count("\n") == len(errors)
        python = [sys.executable, "-m", "json.tool"]
        done = subprocess.run(python, input=answer.out, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["errors"] == read_one(answer.out)["errors"]

    def test_errors_of_the_configuration_have_its_line(self, mclu: Program, tmp_path: Path) -> None:
        (tmp_path / "x.conf").write_text("[nodes]\nham0 mac=1\n")
        (error,) = read_one(mclu("-f", "x.conf", "--output=json", "status").out)["errors"]
        assert (error["file"], error["line"], error["status"]) == ("x.conf", 2, 2)

    @pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
    def test_output_is_the_same_in_every_locale(self, mclu: Program, locale: str) -> None:
        answer = mclu("--demo", "-o", "json", "-c", "status hä", env={"LC_ALL": locale, "PYTHONUTF8": "0"})
        assert "'h" in read_one(answer.out)["errors"][0]["fact"]

    def test_text_is_the_default(self, mclu: Program) -> None:
        assert mclu("--demo", "-o", "text", "status", "ham1") == mclu("--demo", "status", "ham1")
        answer = mclu("--demo", "-o", "xml", "status")
        assert (answer.status, answer.out) == (2, "")
        assert "argument -o/--output: invalid choice: 'xml'" in answer.err

    def test_text_output_does_not_import_json(self, mclu: Program) -> None:
        code = "import sys; from mclu_shell.cli import main; main(['--demo', 'status']); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = done.stdout.splitlines()[-1].split()
        assert "mclu_shell.commands.status" in loaded
        assert [
            name for name in loaded if name in ("json", "datetime") or name.startswith("mclu_shell.output.schema")
        ] == []
