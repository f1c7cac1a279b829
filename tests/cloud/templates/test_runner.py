import os
import time
from pathlib import Path

import pytest

from mclu_shell.cloud.templates import runner
from mclu_shell.cloud.templates.runner import Reply, TemplateTimeout, run_template
from mclu_shell.cloud.templates.script_file import check_runnable
from mclu_shell.errors import TemplateError


def script(directory: Path, body: str, mode: int = 0o755) -> Path:
    path = directory / "x.template"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def failure(path: Path, parameter: str = "probe") -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        run_template(path, parameter)
    return caught.value


def test_the_reply_has_status_output_and_errors(tmp_path: Path) -> None:
    path = script(tmp_path, "echo $1; echo first >&2; echo last >&2; exit 3")
    assert run_template(path, "base-image") == Reply(3, "base-image\n", "first\nlast\n")


def test_a_template_ended_by_a_signal_has_a_status_that_is_not_zero(tmp_path: Path) -> None:
    assert run_template(script(tmp_path, "kill -TERM $$"), "probe").status != 0


def test_output_that_is_not_utf_8_is_replaced(tmp_path: Path) -> None:
    assert run_template(script(tmp_path, r"printf 'a\377b'"), "probe").text == "a\ufffdb"


def test_a_template_runs_in_the_root_directory_with_the_given_environment_and_no_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER", "kept")
    path = script(tmp_path, 'echo "$(pwd) $OUTER $name $(wc -c)"')
    assert run_template(path, "build", {"name": "web"}).text.split() == ["/", "kept", "web", "0"]


def test_a_template_that_hangs_is_killed_with_its_background_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_TIME_LIMIT_S", 0.5)
    path = script(tmp_path, f"sleep 60 & echo $! >{tmp_path}/pid; sleep 60")
    started = time.monotonic()
    error = failure(path)
    assert isinstance(error, TemplateTimeout)
    assert error.fact == "probe: timed out after 0.5 s"
    assert time.monotonic() - started < 10
    assert is_gone(int((tmp_path / "pid").read_text()))


def is_gone(pid: int) -> bool:
    """Return whether a process ends within 5 s; a zombie counts as ended."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_too_much_output_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_LENGTH_LIMIT", 1 << 10)
    assert len(run_template(script(tmp_path, "printf %1024s x"), "probe").text) == 1 << 10
    assert failure(script(tmp_path, "printf %1025s x")).fact == "probe: more than 1K of output"


@pytest.mark.parametrize(
    ("text", "mode", "fact"),
    [
        (None, 0, "not a file"),
        ("#!/bin/sh", 0o644, "not executable"),
        ("echo hello", 0o755, "not a script: its first line does not begin with #!"),
        ("#! /no/such -x\n", 0o755, "cannot run its interpreter '/no/such' on this machine"),
    ],
)
def test_a_file_that_cannot_be_run_has_the_cause(tmp_path: Path, text: str | None, mode: int, fact: str) -> None:
    path = tmp_path / "x.template"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    error = failure(path)
    assert error.fact == fact
    assert error.remedy == (f"run 'chmod +x {path}'" if mode == 0o644 else "")


def test_an_interpreter_with_an_option_is_found(tmp_path: Path) -> None:
    path = script(tmp_path, "")
    path.write_text("#! /bin/sh -e\n")
    check_runnable(path)
    assert os.access(path, os.X_OK)
