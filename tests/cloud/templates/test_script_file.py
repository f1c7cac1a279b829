"""Faults of template files: each has a message in the words of its author, and no parameter is lost silently."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.templates.check import check_template
from mclu_shell.cloud.templates.script_file import check_line_ends, check_syntax, explain_failure
from mclu_shell.cloud.templates.template import custom_xml, read_template
from mclu_shell.errors import TemplateError
from tests.support.mclu import MCLU

Write = Callable[[str | bytes], Path]

SCRIPT = """#!/bin/sh
set -eu
case $1 in
probe) echo hello ;;
base-image) echo x ;;
minimum-memory) echo 1G ;;
xml) echo "<domain>$name</domain>" ;;
*) exit 2 ;;
esac
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a template file."""

    def make(content: str | bytes) -> Path:
        path = tmp_path / "x.template"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o755)
        return path

    return make


def message(path: Path) -> str:
    with pytest.raises(TemplateError) as caught:
        read_template(path)
    assert caught.value.place == "x"
    return str(caught.value)


def test_windows_line_ends_are_named_with_a_command_that_removes_them(write: Write) -> None:
    path = write(SCRIPT.replace("\n", "\r\n"))
    remedy = f"run LC_ALL=C sed -i 's/\\r$//' {path}"
    assert message(path) == f"x: has Windows line ends (CRLF), first in line 1; {remedy}"


@pytest.mark.parametrize("line", [2, 4, 9])
def test_windows_line_ends_in_some_lines_are_named_if_a_query_fails(write: Write, line: int) -> None:
    lines = SCRIPT.split("\n")
    lines[line - 1] += "\r"
    path = write("\n".join(lines))
    assert message(path).startswith(f"x: has Windows line ends (CRLF), first in line {line}; run ")
    with pytest.raises(TemplateError, match=f"first in line {line}"):
        check_line_ends(path)


def test_windows_line_ends_of_other_languages_are_no_fault(write: Write) -> None:
    path = write("#!/usr/bin/env python3\nprint('hello')\r\n")
    check_line_ends(path)
    check_syntax(path)


def test_a_byte_order_mark_is_named(write: Write) -> None:
    path = write(b"\xef\xbb\xbf" + SCRIPT.encode())
    assert message(path).startswith("x: begins with a byte order mark (BOM), so the system does not find its interpr")
    assert f"LC_ALL=C sed -i '1s/^...//' {path}" in message(path)
    assert message(write(SCRIPT.encode("utf-16"))).startswith("x: is a UTF-16 file; save it as UTF-8")


@pytest.mark.parametrize(
    ("shell", "fault"),
    [
        ("/bin/sh", "x: syntax error: line 10: newline unexpected"),
        ("/bin/bash", "x: syntax error: line 9: near unexpected token"),
        ("/usr/bin/env bash", "x: syntax error: line 9: near unexpected token"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(write: Write, shell: str, fault: str) -> None:
    text = SCRIPT.replace("#!/bin/sh", f"#!{shell}").replace("esac\n", "")
    assert message(write(text + "if\nfi\n")).startswith(fault)


def test_a_syntax_error_of_python_is_named_with_its_line(write: Write) -> None:
    path = write("#!/usr/bin/env python3\nimport sys\nif True\n")
    assert message(path) == "x: syntax error: line 3: expected ':'"


def test_a_sound_script_has_no_fault(write: Write) -> None:
    assert explain_failure(write(SCRIPT)) is None


@pytest.mark.parametrize(
    ("parameter", "failure"),
    [
        ("probe", ": $unset"),
        ("base-image", ": $unset"),
        ("minimum-memory", ": $unset"),
        ("minimum-memory", "ls /nowhere"),
        ("minimum-memory", "grep -q x /nowhere"),
        ("minimum-memory", "echo broken; exit 2"),
        ("minimum-memory", "echo 'cannot tell' >&2; exit 2"),
    ],
)
def test_a_failure_with_status_2_is_not_an_unsupported_parameter(write: Write, parameter: str, failure: str) -> None:
    fault = message(write(SCRIPT.replace(f"{parameter}) ", f"{parameter}) {failure}; ")))
    assert fault.startswith(f"x: {parameter}: exit status 2")
    assert fault.endswith("use status 2 only for a parameter that the template does not support")


def test_an_unset_variable_does_not_drop_the_xml(write: Write) -> None:
    template = read_template(write(SCRIPT))
    assert custom_xml(template, {"name": "web"}) == "<domain>web</domain>\n"
    with pytest.raises(TemplateError, match="xml: exit status 2"):
        custom_xml(template, {})


@pytest.mark.parametrize(
    "unknown",
    [
        'echo "usage: x probe|build" >&2; exit 2',
        'echo "$1: unknown parameter" >&2; exit 2',
        'echo "unknown parameter: $1"; exit 2',
        'exec python3 -c \'import argparse, sys; p = argparse.ArgumentParser(); p.add_argument("a", choices=["b"]);'
        ' p.parse_args()\' "$1"',
    ],
)
def test_a_message_about_an_unknown_parameter_is_no_failure(write: Write, unknown: str) -> None:
    template = read_template(write(SCRIPT.replace("exit 2", unknown)))
    assert (template.minimum_memory_bytes, template.disk_bus) == (1 << 30, None)
    # The same template may fail, too.
    failing = SCRIPT.replace("exit 2", unknown).replace("minimum-memory) ", "minimum-memory) : $unset; ")
    assert "minimum-memory: exit status 2" in message(write(failing))


FIRST_LINES = {
    b"#!/bin/sh\0": "not a script: its first line has a NUL byte; save it as UTF-8",
    b"#!/usr/bin/env sh\0": "not a script: its first line has a NUL byte; save it as UTF-8",
    b"#!/bin/\xff\xfesh": "cannot run its interpreter '/bin/\\udcff\\udcfesh' on this machine",
    b"#!/bin/" + b"x" * 300: "the path of its interpreter is longer than 253 bytes",
    b"#!": "its first line names no interpreter; begin it with #!/bin/sh, for example",
    b"#!" + b" " * 300 + b"/bin/sh": "its first line names no interpreter; begin it with #!/bin/sh, for example",
    b"#!/tmp": "cannot run its interpreter '/tmp' on this machine",
    b"\x7fELF\2\1\1": "not a script: its first line does not begin with #!",
}


@pytest.mark.parametrize(("first", "error"), FIRST_LINES.items(), ids=map(str, range(len(FIRST_LINES))))
def test_a_first_line_that_the_system_cannot_use_is_named(write: Write, first: bytes, error: str) -> None:
    path = write(first + b"\necho hello\n")
    assert message(path) == f"x: {error}"
    assert [finding.detail for finding in check_template(path, lambda _: None)] == [error]


def test_the_arguments_of_an_interpreter_may_be_long(write: Write) -> None:
    """Linux ignores the rest of the line (execve(2))."""
    assert read_template(write(SCRIPT.replace("#!/bin/sh", "#!/bin/sh -" + " " * 300))).base_image == "x"


def test_a_template_without_end_is_too_large(write: Write) -> None:
    path = write(SCRIPT)
    os.truncate(path, 1 << 30)
    with pytest.raises(TemplateError, match="cannot be read: larger than 64M"):
        check_line_ends(path)


def test_broken_templates_hide_no_others(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(SCRIPT).rename(tmp_path / "good.template")
    for number, first in enumerate(FIRST_LINES):
        write(first + b"\n").rename(tmp_path / f"bad{number}.template")
    (tmp_path / "directory.template").mkdir()
    os.mkfifo(tmp_path / "fifo.template")
    (tmp_path / "loop.template").symlink_to("loop.template")
    (tmp_path / "endless.template").symlink_to("/dev/zero")
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))
    for words in (["list", "--templates"], ["list"]):
        done = subprocess.run([MCLU, "--demo", *words], capture_output=True, text=True, timeout=60)
        lines = done.stdout.splitlines()
        assert sum("broken template" in line for line in lines) == len(FIRST_LINES) + 4
        assert any(line.split() == ["good", "template", "x", "memory>=1G"] for line in lines)
        assert "internal error" not in done.stderr
        assert done.stderr.count("\n") == len(FIRST_LINES) + 4


def test_a_template_that_may_not_be_looked_up_is_an_error(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory may be listed but not entered."""
    path = write(SCRIPT)
    monkeypatch.setattr(Path, "is_file", failing_lookup)
    with pytest.raises(TemplateError, match="x: cannot be read or run: Permission denied"):
        read_template(path)


def failing_lookup(path: Path) -> bool:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
