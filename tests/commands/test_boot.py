"""boot on the simulated nodes, whose builds run here: its progress, its failures, and Ctrl-C."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from mclu_shell.output.json_renderer import JSONRenderer
from tests.output.schema_check import read_one
from tests.support.mclu import MCLU, InProcess
from tests.support.templates import write_template

Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the template `mine`, whose build is a shell script."""
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))

    def make(build: str) -> None:
        write_template(tmp_path, "mine", base_image="echo nothing", build=f': >"$output"\n{build}')

    return make


def disks(demo: InProcess) -> list[str]:
    return sorted(file.name for node in demo.cloud.nodes for file in Path(node.config.images).iterdir())


def test_output_of_a_build_is_shown_without_control_characters(write: Write, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # Markup of rich, and control characters.
    write(f"printf '[bold]half[/way] \\033[2J\\007there\\n'; read -r line <'{gate}'; echo done")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    program = pexpect.spawn(str(MCLU), ["--demo", "boot", "mine", "new"], env=environment, encoding="utf-8", timeout=20)
    program.expect_exact("[bold]half[/way]  [2J there")
    gate.write_text("\n")
    program.expect_exact("ham0:new")
    program.expect(pexpect.EOF)
    program.close()
    assert program.exitstatus == 0


def test_notes_of_a_build_are_part_of_the_answer(write: Write, demo: InProcess) -> None:
    write("echo 'note: remember me'; printf 'note: and \\033[2Jme'")
    assert demo("boot mine new").out == "ham0:new running\n  remember me\n  and  [2Jme\n"
    assert demo.script("boot mine more").out == "ham0:more running\n  remember me\n  and  [2Jme\n"


def test_a_simulated_guest_has_no_acceleration(write: Write, clouds: Callable[..., InProcess]) -> None:
    write("")
    booted = read_one(clouds(renderer=JSONRenderer)("boot mine new").out)
    assert (booted["kind"], booted["accel"], booted["accel_reason"]) == ("booted", None, None)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--console", "ham0: simulated guests have no consoles"),
        ("--viewer", "ham0: simulated guests have no screens"),
    ],
)
def test_no_guest_is_built_whose_console_or_screen_cannot_be_opened(
    write: Write, demo: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, message: str
) -> None:
    viewer = tmp_path / "bin/remote-viewer"
    viewer.parent.mkdir()
    viewer.write_text("#!/bin/sh\n")
    viewer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{viewer.parent}:{os.environ['PATH']}")
    write(f'touch "{tmp_path}/built"')
    answer = demo(f"boot mine new {option}")
    assert (answer.status, answer.out, answer.err) == (1, "", f"mclu: {message}\n")
    assert not (tmp_path / "built").exists()


def test_a_failed_build_shows_its_last_output(write: Write, demo: InProcess) -> None:
    write("for i in 1 2 3 4 5 6 7 8 9; do echo step $i; done; exit 7")
    answer = demo("boot mine new")
    assert (answer.status, answer.out) == (1, "")
    first, *rest = answer.err.splitlines()
    assert first == ("mclu: ham0: build failed with exit status 7 (build output was removed). Its last lines:")
    assert rest == [f"  step {i}" for i in range(2, 10)]
    assert disks(demo) == []


def test_ctrl_c_ends_the_build_and_removes_its_files(write: Write, demo: InProcess) -> None:
    write(f"kill -{signal.SIGINT:d} {os.getpid()}; exec sleep 1000")
    answer = demo("boot mine new")
    message = "mclu: ham0: interrupted (build output was removed)\n"
    assert (answer.status, answer.out, answer.err) == (130, "", message)
    assert disks(demo) == []
    assert "new" not in demo("list").out


def test_a_build_gets_the_variables_of_the_contract(write: Write, demo: InProcess, tmp_path: Path) -> None:
    write(f'echo "$name $format $size $timezone $base_image" >"{tmp_path}/seen"; echo "$output" >>"{tmp_path}/seen"')
    assert demo("boot mine ham0:new --size 1.5G --timezone Asia/Kolkata").status == 0
    output = f"{demo.cloud.nodes[0].config.images}/new.qcow2"
    assert (tmp_path / "seen").read_text() == f"new qcow2 {3 << 29} Asia/Kolkata nothing\n{output}\n"


def test_a_second_boot_of_a_name_fails(write: Write, demo: InProcess) -> None:
    write("true")
    assert demo("boot mine new").status == 0
    assert demo("boot mine new").err == "mclu: ham0: guest 'new' already exists\n"
    assert disks(demo) == ["new.qcow2"]


def test_the_demo_removes_its_disks(write: Write, clouds: Callable[..., InProcess]) -> None:
    write("true")
    demo = clouds()
    assert demo("boot mine new").status == 0
    images = Path(demo.cloud.nodes[0].config.images)
    assert images.is_dir()
    demo.cloud.close()
    assert not images.exists()
