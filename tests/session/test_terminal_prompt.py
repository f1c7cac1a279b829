"""Questions of single commands and -c lines in a real terminal."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support.mclu import MCLU

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")

QUESTION, CTRL_C, CTRL_D = "Destroy it? [y/N] ", "\x03", "\x04"
Run = Callable[[str], "pexpect.spawn[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Provide a function that runs a line of sh in a terminal; `mclu` has simulated nodes."""
    programs: list[pexpect.spawn[str]] = []

    def start(line: str) -> "pexpect.spawn[str]":
        script = f'mclu() {{ {MCLU} --demo "$@"; }}; {line}; echo "status $?"'
        environment = {**os.environ, "NO_COLOR": "1"}
        program = pexpect.spawn("sh", ["-c", script], encoding="utf-8", timeout=30, cwd=tmp_path, env=environment)
        program.delaybeforesend = None
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.close(force=True)


def end(program: "pexpect.spawn[str]") -> tuple[str, int]:
    """Return the rest of the output, and the status that the script prints."""
    program.expect(r"status (\d+)\r\n")
    assert isinstance(program.match, re.Match)
    return (program.before or "").replace("\r\n", "\n"), int(program.match.group(1))


DECLINED = "Nothing was destroyed."
LINES = ["mclu destroy web", "mclu -c 'destroy web'", "mclu destroy web | cat", "mclu -c 'destroy web | cat'"]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(("reply", "answer"), [("y", "ham0:web destroyed"), ("n", DECLINED), ("", DECLINED)])
def test_destroy_asks_where_someone_can_answer(run: Run, line: str, reply: str, answer: str) -> None:
    program = run(line)
    program.expect_exact(QUESTION)
    assert "web on ham0 (running)" in (program.before or "")
    program.sendline(reply)
    out, status = end(program)
    assert (out.splitlines()[1].strip(), status) == (answer, 0)


def test_a_wildcard_is_asked_about(run: Run) -> None:
    program = run("mclu destroy '*'")
    program.expect_exact("Destroy these 2 guests? [y/N] ")
    program.sendline("yes")
    assert sorted(end(program)[0].split()[-4:]) == ["destroyed", "destroyed", "ham0:db", "ham0:web"]


def test_json_records_the_guests_of_a_declined_question(run: Run) -> None:
    program = run("mclu -o json destroy ham0:web ham0:db")
    program.expect_exact("Destroy these 2 guests? [y/N] ")
    program.sendline("n")
    out, status = end(program)
    records = [json.loads(line) for line in out.splitlines()[1:]]
    assert records == [{"kind": "declined", "node": "ham0", "guest": name} for name in ("db", "web")]
    assert status == 0


def test_the_end_of_the_input_means_no(run: Run) -> None:
    program = run("mclu destroy web")
    program.expect_exact(QUESTION)
    program.send(CTRL_D)
    out, status = end(program)
    assert (out.split("\n")[-2], status) == ("Nothing was destroyed.", 0)


def test_ctrl_c_at_the_question_destroys_nothing(run: Run) -> None:
    program = run("trap : INT; mclu destroy web")
    program.expect_exact(QUESTION)
    program.send(CTRL_C)
    out, status = end(program)
    assert (out, status) == ("^C\n", 130)


def test_input_from_before_the_question_does_not_answer_it(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    program = run("mclu -c '!echo ready; read line <gate' -c 'destroy web'")
    program.expect_exact("ready")
    program.sendline("y")
    program.expect_exact("y\r\n")
    (tmp_path / "gate").write_text("\n")
    program.expect_exact(QUESTION)
    program.sendline("n")
    assert "Nothing was destroyed." in end(program)[0]


@pytest.mark.parametrize(
    "line",
    [
        "mclu destroy --yes web",
        "mclu destroy web </dev/null",
        "mclu destroy web 2>errors",
        "echo 'destroy web' >x.mclu; mclu x.mclu",
        "echo 'destroy web' >x.mclu; mclu run x.mclu",
        "mclu -c 'destroy web' </dev/null",
    ],
)
def test_pipes_scripts_and_yes_do_not_ask(run: Run, line: str) -> None:
    assert end(run(line)) == ("ham0:web destroyed\n", 0)


@pytest.mark.parametrize("line", ["mclu destroy '*' </dev/null", "echo 'destroy *:*' >x.mclu; mclu x.mclu"])
def test_a_wildcard_needs_yes_where_nobody_can_answer(run: Run, line: str) -> None:
    out, status = end(run(line))
    assert status == 1
    assert "destroying by wildcard requires confirmation; add --yes, or name the guests" in out


def test_a_dry_run_does_not_ask(run: Run) -> None:
    out, status = end(run("mclu -n destroy web"))
    assert (status, "Destroy it?" in out) == (0, False)
