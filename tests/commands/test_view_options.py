"""The options --sort, --columns and --watch of `list` and `status`."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from mclu_shell.command_loader import load_command
from mclu_shell.output.tables.column import column_names
from mclu_shell.output.tables.guests import GUEST_COLUMNS
from mclu_shell.output.tables.nodes import NODE_COLUMNS
from mclu_shell.output.tables.templates import TEMPLATE_COLUMNS
from tests.support.mclu import MCLU, InProcess
from tests.support.templates import write_template


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list --columns guest,memory", "ham0:db   4G\nham0:web  2G\n"),
        ("list --active --sort guest --columns vcpus,guest", "2  ham0:db\n2  ham0:web\n"),
        ("list --columns guest --sort memory", "ham0:db\nham0:web\n"),
        ("status ham0 ham1 --columns node,state,free", "ham0  on   24.9G\nham1  off\n"),
        ("status ham1 ham0 --sort node --columns node,used", "ham0  6G\nham1\n"),
        (
            "status 'ham[01]' --sort state",
            "ham1 off\nham0 on\n  total: 8pcpus 30.9G\n  used:  2guests 4vcpus 6G\n  free: 24.9G\n",
        ),
    ],
)
def test_columns_and_their_order_are_chosen(demo: InProcess, line: str, expected: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.out, answer.err) == (0, expected, "")


def test_numbers_are_sorted_by_size_and_not_by_text(
    demo: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, memory in (("a", "512M"), ("b", "10G"), ("c", "9G")):
        write_template(tmp_path, name, recommended_memory=f"echo {memory}")
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))
    assert demo("list --templates --sort memory --columns template,memory").out == "b  10G\nc  9G\na  512M\n"


def test_a_guest_shows_the_template_that_it_was_booted_from(
    demo: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_template(tmp_path, "empty", build='touch "$output"')
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))
    demo("boot empty new")
    assert demo("list --sort template --columns guest,template").out == "ham0:db\nham0:web\nham0:new  empty\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("list --columns image", "no column 'image' here; there are guest, node, "),
        ("list --sort size", "argument --sort: 'size' is not one of guest, node, "),
        ("status --columns node,,free", "argument --columns: '' is not one of node, "),
        ("list --watch=0.1", "argument --watch: bad interval '0.1': must be at least 0.2 s"),
    ],
)
def test_a_bad_option_is_an_error(demo: InProcess, line: str, message: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err


def test_the_help_lists_all_columns() -> None:
    shown = [line.strip().partition("  ")[0].split() for line in load_command("list").about.splitlines()]
    assert list(column_names(GUEST_COLUMNS)) in shown
    assert list(column_names(TEMPLATE_COLUMNS)) in shown
    assert f"\n  {' '.join(column_names(NODE_COLUMNS))}\n" in load_command("status").about


@pytest.mark.parametrize(
    ("options", "line", "kind"), [((), "ham0:db   running  4G  2vcpus", ""), (("-o", "json"), "", "list")]
)
def test_a_watch_in_a_pipe_repeats_the_answer(options: tuple[str, ...], line: str, kind: str) -> None:
    words = [str(MCLU), "--demo", *options, "list", "--active", "--watch", "0.2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as mclu:
        assert mclu.stdout is not None
        lines = iter(mclu.stdout)
        if kind:
            for _ in range(2):
                document = json.loads(next(lines))
                assert (document["kind"], len(document["guests"])) == (kind, 2)
        else:
            for _ in range(2):
                assert next(lines) == f"{line}\n"
                assert next(lines).startswith("ham0:web")
                assert next(lines) == "\n"
        mclu.send_signal(signal.SIGINT)
        mclu.stdout.read()
    assert mclu.returncode == 130
