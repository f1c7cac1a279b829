"""The same line through every entry point: the prompt, -c, a script, and arguments, with the same result and status.

The differences:

* The user's own shell reads arguments first: it interprets `;`, `|`, `>`, `$` and unbalanced quotes. mclu takes a `-`
  before the command for a global option. Such lines are tested through three entry points.
* mclu checks a script as a whole before its first command, so an error in one command prevents all of them.
* An empty line at the prompt keeps the status, as in any shell.
* Only the prompt has aliases, the history, settings and questions.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from mclu_shell import cli, signals
from tests.shell import observed
from tests.shell.terminal import COLUMNS, ENTER, Terminal
from tests.support.mclu import Answer

OFF = {number: f"ham{number} off\n" for number in (1, 2, 3)}
ALL_OFF = "".join(OFF.values())
WAKING = "Waking up 74:d4:35:51:ab:87...\n"


@dataclass(frozen=True)
class Case:
    """A line with its status and output; None if it only has to be the same through every entry point."""

    line: str
    status: int = 0
    out: str | None = ""


# Single commands that the user's shell parses as mclu does: through all entry points.
ONE_COMMAND = (
    # Words and blanks
    Case("status", out=None),
    Case("status ham1", out=OFF[1]),
    Case("  status\t ham1   ", out=OFF[1]),
    Case("status ham2 ham1 ham2", out=OFF[1] + OFF[2]),
    Case("list --active", out=None),
    Case("help", out=None),
    Case("help status on", out=None),
    Case("status --help", out=None),
    Case("status -h", out=None),
    # Quotes
    Case("status 'ham1'", out=OFF[1]),
    Case('status "ham1"', out=OFF[1]),
    Case("status ha'm1'", out=OFF[1]),
    Case("status h''am\"1\"", out=OFF[1]),
    Case("'status' ham1", out=OFF[1]),
    Case("sta\"tus\" 'ham1'", out=OFF[1]),
    Case("status 'ham1 ham2'", 2),
    Case("status \"it's\"", 2),
    Case("status 'say \"ham1\"'", 2),
    Case("status 'a;b'", 2),
    Case('status "a|b"', 2),
    Case("status 'a>b' '<'", 2),
    Case("status '#ham1'", 2),
    Case("status 'ham1\nham2'", 2),
    Case("status 'ham1\tham2'", 2),
    Case("status '$1' '${HOME}' '`ls`'", 2),
    Case("status \"\\$HOME\"", 2),
    # Escapes
    Case("status ha\\m1", out=OFF[1]),
    Case("status ham1\\ ham2", 2),
    Case("status \\'ham1\\'", 2),
    Case('status "ham\\1"', 2),
    Case('status "ham1\\\\"', 2),
    Case("status 'ham1\\'", 2),
    Case("status \\#ham1", 2),
    Case("status ham1\\;", 2),
    Case("status \\\nham1", out=OFF[1]),
    Case("status ha\\\nm1", out=OFF[1]),
    Case('status "ha\\\nm1"', out=OFF[1]),
    # Comments
    Case("status ham1 # and no more", out=OFF[1]),
    Case("status ham1 #", out=OFF[1]),
    Case("status ham1#2", 2),
    Case("status ham1 # it's \"unbalanced", out=OFF[1]),
    # Empty words
    Case("''", 2),
    Case('""', 2),
    Case("status ''", 2),
    Case("status ham1 \"\"", 2),
    Case("destroy --yes ''", 2),
    # Unicode
    Case("status hüm1", 2),
    Case("statüs", 2),
    Case("destroy --yes 'wéb 日本 🐏'", 1),
    Case("destroy --yes e\u0301", 1),
    Case("status ham1\u00a0ham2", 2),
    Case("status ham１", 2),
    # Globs: the shell leaves them to mclu, because no file matches.
    Case("status ham[1-3]", out=ALL_OFF),
    Case("status 'ham[1-3]'", out=ALL_OFF),
    Case("status ham?", out=None),
    Case("status h*1 *2", out=OFF[1] + OFF[2]),
    Case("status ham[!0]", out=ALL_OFF),
    Case("status y*", 1),
    Case("destroy --yes '*:y*'", 1),
    Case("shutdown '*:y*'", 1),
    # Options and their values
    Case("on ham1 --wait=30", out=WAKING + "ham1 on\n"),
    Case("off ham1", out=OFF[1]),
    Case("on --wait ham1", out=WAKING + "ham1 on\n"),
    Case("off -- ham1", out=OFF[1]),
    Case("on ham1 --wait='3 0'", 2),
    Case("on ham1 --wait='soon; quit'", 2),
    Case("on ham1 --wait \"a b\"", 2),
    Case("boot tiny web --timezone='Europe/New York'", 2),
    Case("boot tiny web --memory=' '", 2),
    Case("boot 'no such template' web --memory=1G --size 1G", 1),
    Case("list --activ", 2),
    Case("list --active --inactive", 2),
    Case("status --bogus='x y'", 2),
    Case("status --", out=None),
    Case("status -- --bogus", 2),
    Case("console --log='a b' nosuch", 1),
    # Unknown commands and nodes
    Case("lst", 2),
    Case("STATUS", 2),
    Case("on ham9", 1),
    Case("off ham0", 1),
    # Very long
    Case("status " + "ham1 " * 400, out=OFF[1]),
    Case("status " + "x" * 3000, 1),
    Case("destroy --yes '" + "y " * 1000 + "'", 2),
)  # fmt: skip

# Lines that the user's shell or the global options would change: through three entry points.
LINES = (
    Case("# nothing"),
    Case(";;  ;"),
    Case("status ham1; status ham2", out=OFF[1] + OFF[2]),
    Case("status ham1;status ham2;", out=OFF[1] + OFF[2]),
    Case("status ham1\nstatus ham2\n\n# x\nstatus ham3", out=ALL_OFF),
    Case("status ham1 # ; status ham2", out=OFF[1]),
    Case("status 'ham1'; status \"ham2\" # 'x", out=OFF[1] + OFF[2]),
    Case("status ham1; on ham9; status ham2", 1, OFF[1]),
    Case("status ham1; -on ham9; - off ham0; status ham2", 0, OFF[1] + OFF[2]),
    Case("-on ham9"),
    Case("-status ham1", out=OFF[1]),
    Case("-list", out=None),
    Case("status;", out=None),
    Case("status ham1\n!false # ; status ham2\nstatus ham3", 1, OFF[1]),
    Case("!exit 3", 1),
    Case("!echo 'a;  b' \"c\" | tr a-z A-Z > out # d"),
    Case('!printf %s "$0 $# ${NOSUCH-x}" > out'),
    Case("status ham1 > out"),
    Case("status ham1 >out; status ham2 >> 'out'"),
    Case("status | grep ham[12] | sed 's/off/a;b/' > out; status ham3", out=OFF[3]),
    Case("status ham1 | cat >out; status ham2 | grep -q nosuch; status ham3", 1),
    Case("status ham1 \\\n  ham2 \\\n  | tr a-z \\\n A-Z > out"),
    Case("status | head -1 > out"),
    Case("status ham9 > out", 1),
    Case("lst > out", 2),
    Case("lst | touch out", 2),
    Case("status > /nosuch/x", 1),
    # Variables, none of which is set
    Case("status $1", 2),
    Case("status ham${NUMBER}", 2),
    Case("status $HOME", 2),
    Case("status a$", 2),
    Case("!test $# = 0"),
    # Unbalanced
    Case("status 'ham1", 2),
    Case('status "ham1', 2),
    Case("status ham1\\", 2),
    Case("status \"ham1'", 2),
    Case("status ham1\nstatus 'ham2\nstatus", 2),
    Case("status ham1; status 'ham2", 2),
    Case("status | 'cat", 2),
    Case("| cat", 2),
    Case("status |", 2),
    Case("status >", 2),
    Case("status > out > out", 2),
    Case("status > out x", 2),
    Case("!", 2),
    Case("-", 2),
    Case("- ; status", 2),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the working directory; no file in it has the name of a word."""
    return tmp_path_factory.mktemp("entry_points")


@pytest.fixture(autouse=True)
def _surroundings(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(directory)
    # As the prompt has them.
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("MCLU_PATH", str(directory))
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def prompt(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Prompt"]:
    """Provide one prompt for the whole table."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(directory)
        patched.setenv("COLUMNS", str(COLUMNS))
        patched.setenv("HOME", str(home))
        patched.setenv("MCLU_PATH", str(directory))
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "NO_COLOR"):
            patched.delenv(name, raising=False)
        started = Prompt(home / "answers")
    with closing(started.terminal):
        yield started


class Prompt:
    """A prompt in a terminal, with the answer of each line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.terminal = Terminal(observed.__file__, str(file), "--demo", program=sys.executable)
        self.terminal.expect_prompt()
        self._count = 0

    def enter(self, line: str) -> Answer:
        """Paste a line, which may have newlines and tabs; return its answer."""
        self.terminal.type(f"\x1b[200~{line}\x1b[201~{ENTER}")
        self._count += 1
        self.terminal.read_until(lambda _screen: len(self._answers()) == self._count)
        self.terminal.expect_prompt()
        return Answer(**json.loads(self._answers()[-1]))

    def _answers(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []


def normal(answer: Answer) -> Answer:
    """Return an answer without the places of lines, which only scripts and texts of several lines have.

    The message about a failed program, which only scripts print, is removed as well.
    """
    err = re.sub(r"^mclu: x\.mclu:\d+: '.*' ended with status \d+\n", "", answer.err, flags=re.MULTILINE)
    err = re.sub(r"^mclu: (x\.mclu:\d+|line \d+)(: |$)", "mclu: ", err, flags=re.MULTILINE)
    return Answer(answer.status, answer.out, err)


def in_file() -> str | None:
    """Return the content of the file `out`, and remove it."""
    file = Path("out")
    if not file.exists():
        return None
    text = file.read_text()
    file.unlink()
    return text


EntryPoint = Callable[[str], Answer]


@pytest.fixture
def program(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Provide a function that runs mclu's `main` in this process, in a tenth of the time."""

    def run(*words: str) -> Answer:
        return Answer(cli.main(["--demo", *words]), *capfd.readouterr())

    return run


@pytest.fixture
def entry_points(prompt: Prompt, program: Callable[..., Answer]) -> dict[str, EntryPoint]:
    """Return functions that run a line, by entry point."""

    def script(line: str) -> Answer:
        Path("x.mclu").write_text(line)
        return program("x.mclu")

    def arguments(line: str) -> Answer:
        # The words as the user's shell parses them.
        words = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
        return program(*words.decode().split("\0")[:-1])

    return {"prompt": prompt.enter, "-c": lambda line: program("-c", line), "script": script, "arguments": arguments}


def check(case: Case, entry_points: dict[str, EntryPoint]) -> None:
    """Fail unless a line has the same answer through all entry points."""
    answers = {name: (normal(run(case.line)), in_file()) for name, run in entry_points.items()}
    answer, _ = answers["-c"]
    assert answer.status == case.status
    assert case.out in (None, answer.out)
    assert "internal error" not in answer.err
    assert answers == dict.fromkeys(answers, answers["-c"])


def called(case: Case) -> str:
    return case.line[:40]


@pytest.mark.parametrize("case", ONE_COMMAND, ids=called)
def test_a_command_has_the_same_result_from_every_entry_point(case: Case, entry_points: dict[str, EntryPoint]) -> None:
    check(case, entry_points)


@pytest.mark.parametrize("case", LINES, ids=called)
def test_a_line_has_the_same_result_at_the_prompt_in_c_and_in_a_script(
    case: Case, entry_points: dict[str, EntryPoint]
) -> None:
    del entry_points["arguments"]
    check(case, entry_points)


@pytest.mark.parametrize("line", ["", "   \t ", "\n\n"])
def test_an_empty_line_does_nothing(line: str, entry_points: dict[str, EntryPoint]) -> None:
    assert {entry_points[name](line) for name in ("-c", "script")} == {Answer(0, "", "")}


def test_only_a_script_is_checked_before_its_first_command(entry_points: dict[str, EntryPoint]) -> None:
    answers = {name: entry_points[name]("status ham1; lst") for name in ("prompt", "-c", "script")}
    assert {answer.status for answer in answers.values()} == {2}
    assert [answers[name].out for name in ("prompt", "-c", "script")] == [OFF[1], OFF[1], ""]


@pytest.mark.parametrize("line", ["alias st=status", "unalias st", "history", "set alerts off"])
def test_commands_of_the_prompt_are_refused_elsewhere(line: str, entry_points: dict[str, EntryPoint]) -> None:
    assert entry_points.pop("prompt")(line).status == 0
    answers = {normal(run(line)) for run in entry_points.values()}
    assert {(answer.status, answer.out) for answer in answers} == {(2, "")}
    assert len(answers) == 1


def test_the_value_of_an_option_may_begin_with_a_dash(program: Callable[..., Answer]) -> None:
    assert program("-k", "-c", "-list", "-c", "-status ham9").status == 0
    assert program("-c-list").status == 0
    assert program("-c", "status ham1", "-c").err.startswith("mclu: argument -c: expected one argument")
    assert program("status", "-c", "-list").err.startswith("mclu: status: unrecognized arguments: -c -list")


def test_two_dashes_end_the_options(program: Callable[..., Answer]) -> None:
    assert program("--", "status", "ham1") == Answer(0, OFF[1], "")
    assert program("--", "--help").err.startswith("mclu: unknown command '--help'")
