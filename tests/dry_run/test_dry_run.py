"""Dry runs on the simulated nodes: they change nothing, and predict what a real run does."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.command import Context
from mclu_shell.command_loader import command_names, load_command
from tests.dry_run.support import fetch_everything, without_paths
from tests.shell.terminal import Terminal
from tests.support.mclu import Answer, InProcess

# At least one line of each command. Files that they would write are in the directory of the test.
LINES = (
    "boot mine new",
    "boot mine ham0:new --memory 512M --size 2G --vcpus 2",
    "boot mine ham1:new",
    "doctor --fix --yes --boot",
    "destroy web",
    "destroy --yes '*'",
    "destroy '*'",
    "start web",
    "shutdown web",
    "shutdown --force '*'",
    "reboot web",
    "reboot --hard '*'",
    "on ham1",
    "on '*' --wait",
    "wait node ham1",
    "wait node ham0 off",
    "wait guest web off",
    "wait guest web console x",
    "off ham1",
    "off '*'",
    "console web --log log",
    "viewer web",
    "viewer --print web",
    "!touch made",
    "list | tee made",
    "status > kept",
    "boot mine new >> kept",
    "list",
    "status",
    "help",
    "template show mine",
    "run nosuch.mclu",
    "alias",
    "unalias x",
    "history",
    "set alerts off",
    "quit",
)


def test_every_command_has_a_line_here() -> None:
    assert set(command_names()) <= {line.split()[0] for line in LINES}


@pytest.mark.parametrize("line", LINES)
def test_a_dry_run_changes_nothing(dry_run: InProcess, tmp_path: Path, line: str) -> None:
    before = fetch_everything(dry_run.cloud, tmp_path)
    dry_run(line)
    dry_run.script(f"-{line}\n-{line}")
    assert fetch_everything(dry_run.cloud, tmp_path) == before


@pytest.mark.parametrize("line", ["boot mine new", "destroy web", "shutdown web", "reboot web", "on ham1"])
def test_a_command_without_dry_run_cannot_change_a_node(dry_run: InProcess, line: str) -> None:
    """A command that forgets its `dry_run` meets read-only nodes."""
    before = fetch_everything(dry_run.cloud)
    dry_run("status")
    name, *words = line.split()
    command = load_command(name)
    with pytest.raises(AssertionError, match="a dry run was about to change ham"):
        list(command.run(Context(lambda: dry_run.cloud, lambda _words: None), command.parser().parse(words)))
    assert fetch_everything(dry_run.cloud) == before


@pytest.mark.parametrize(
    "lines",
    [
        "boot mine web",
        "boot mine ham1:new",
        "boot mine ham9:new",
        "boot mine new --memory 999G",
        "boot mine new --memory 32M",
        "boot mine new --size 1",
        "boot nosuch new",
        "boot mine 'a b'",
        "boot mine new --console",
        "boot mine new; boot mine new",
        "boot mine a --memory 15G; boot mine b --memory 15G",
        "destroy '*'",
        "destroy nosuch",
        "destroy web; reboot web",
        "destroy ham1:web",
        "off ham0",
        "off ham9",
        "off ham1; boot mine ham1:new",
        "start web",
        "shutdown web; shutdown web",
        "shutdown web; reboot web",
        "shutdown web; console web",
        "shutdown '*'; reboot '*'",
        "reboot nosuch",
        "console web",
        "viewer --print web",
        "on ham9",
        "status > nosuch/file",
        "status > .",
        "sttus > kept",
        "run nosuch.mclu",
        "alias x=y",
    ],
)
def test_a_dry_run_reports_the_errors_of_a_real_run(clouds: Callable[..., InProcess], lines: str) -> None:
    real, dry_run = clouds(), clouds(is_dry=True)
    real_result, dry_result = without_paths(real(lines)), without_paths(dry_run(lines))
    assert real_result[0] in (1, 2)
    assert (dry_result[0], dry_result[2]) == (real_result[0], real_result[2])


@pytest.mark.parametrize(("images", "fact"), [("gone", "cannot write to"), ("taken", "already exists")])
def test_a_dry_run_reports_that_a_build_could_not_begin(
    clouds: Callable[..., InProcess], images: str, fact: str
) -> None:
    answers = []
    for is_dry in (False, True):
        cloud = clouds(is_dry=is_dry)
        directory = Path(cloud.cloud.nodes[0].config.images)
        if images == "gone":
            directory.rmdir()
        else:
            (directory / "new.qcow2").touch()
        answers.append(without_paths(cloud("boot mine new")))
    assert answers[0] == answers[1]
    assert fact in answers[0][2]


def test_a_real_run_does_what_the_dry_run_printed(clouds: Callable[..., InProcess]) -> None:
    real, dry_run = clouds(), clouds(is_dry=True)
    lines = "boot mine new --memory 512M --vcpus 3; shutdown web db; start web; reboot new; destroy db; on ham1 --wait"
    output = without_paths(dry_run(lines))[1].splitlines()
    assert output[:3] == [
        "would boot ham0:new: mine, 512M, 3vcpus, disk …/ham0/new.qcow2",
        "would shut down ham0:db: ask it to, wait at most 2 min",
        "would shut down ham0:web: ask it to, wait at most 2 min",
    ]
    assert output[3:] == [
        "would start ham0:web",
        "would reboot ham0:new",
        "would destroy ham0:db: shut off, 0 bytes on disk",
        "would wake ham1: a magic packet for 74:d4:35:51:ab:87 to 255.255.255.255 port 9",
        "would wait for ham1: at most 5 min, until libvirt answers there",
    ]
    assert real(lines).status == 0
    assert real("list --active").out == (
        "ham0:new  running  512M  3vcpus  192.168.0.1\nham0:web  running  2G    2vcpus\n"
    )
    assert (Path(real.cloud.nodes[0].config.images) / "new.qcow2").exists()
    assert real.on == ["ham0", "ham1"]


# Files, programs and packets


def test_a_dry_run_writes_no_file_and_runs_no_program(dry_run: InProcess, tmp_path: Path) -> None:
    answer = dry_run.script("!touch made\nstatus ham1 > kept\nstatus ham1 >> new\nstatus ham1 | tee made")
    assert answer.out.splitlines() == [
        "x.mclu:1: would run in your shell: touch made",
        "ham1 off",
        "x.mclu:2: would write this to kept",
        "ham1 off",
        "x.mclu:3: would append this to new",
        "ham1 off",
        "x.mclu:4: would hand this to your shell: tee made",
    ]
    assert (tmp_path / "kept").read_text() == "kept\n"
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["kept", "mine.template"]


def test_a_dry_run_sends_no_magic_packet(clouds: Callable[..., InProcess]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(("127.0.0.1", 9))
        except PermissionError:
            pytest.skip("only root may listen where magic packets are sent")
        listener.setblocking(False)
        config = "[nodes]\nham0\nham1 mac=74:d4:35:51:ab:87 broadcast=127.0.0.1 address=127.0.0.1 port=1"
        answer = clouds(config, is_dry=True)("on '*'")
        with pytest.raises(BlockingIOError):
            listener.recv(1000)
    assert answer.status == 1
    assert "would wake ham1: a magic packet for 74:d4:35:51:ab:87 to 127.0.0.1 port 9" in answer.out
    assert answer.err == "mclu: ham0: cannot wake it: no mac= in mclu.conf\n"


def test_a_node_that_refuses_connections_is_on(clouds: Callable[..., InProcess], closed_port: int) -> None:
    way = f"broadcast=127.0.0.1 address=127.0.0.1 port={closed_port}"
    answer = clouds(f"[nodes]\nham0 mac=74:d4:35:51:ab:86 {way}", is_dry=True)("on ham0")
    assert (
        answer.out == "would wake ham0: a magic packet for 74:d4:35:51:ab:86 to 127.0.0.1 port 9, although it is on\n"
    )


@pytest.mark.parametrize("where", ["127.0.0.1:x", "240.0.0.1"])
def test_a_dry_run_reports_a_packet_that_could_not_be_sent(clouds: Callable[..., InProcess], where: str) -> None:
    config = f"[nodes]\nham0 mac=74:d4:35:51:ab:86 broadcast={where} address=127.0.0.1 port=1"
    real_result, dry_result = clouds(config)("on ham0"), clouds(config, is_dry=True)("on ham0")
    # The route to 240.0.0.1 depends on the machine.
    assert (dry_result.status, dry_result.err) == (real_result.status, real_result.err)


def test_a_dry_run_refuses_to_wake_or_switch_off_this_machine(clouds: Callable[..., InProcess]) -> None:
    config = "[nodes]\nhere via=local uri=test:///default mac=74:d4:35:51:ab:86"
    assert clouds(config, is_dry=True)("on here").err == "mclu: here: cannot wake this machine: it is on\n"
    answer = clouds(config, is_dry=True)("shutdown test; off here")
    assert answer.err == "mclu: here: cannot switch off this machine: mclu runs on it\n"


# Command line and interactive shell


def test_a_real_run_imports_no_module_of_the_dry_run() -> None:
    code = (
        "import sys; from mclu_shell.cli import main\n"
        "from mclu_shell.command_loader import command_names, load_command\n"
        "for name in command_names(): load_command(name)\n"
        "main(['--demo', '-c', 'shutdown web; destroy web; off ham0']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    *answers, modules = done.stdout.splitlines()
    assert answers == ["ham0:web shut down", "ham0:web destroyed"]
    modules_of_dry_runs = r"cloud\.dryrun\.(?!planned)|dry_run_text|schema\.planned"
    assert [name for name in modules.split() if re.search(modules_of_dry_runs, name)] == []


@pytest.mark.parametrize("option", ["-n", "--dry-run"])
def test_the_option_applies_to_one_shots_lines_and_scripts(
    mclu: Callable[..., Answer], tmp_path: Path, option: str
) -> None:
    script = tmp_path / "a.mclu"
    script.write_text("shutdown web\nstart $1\n")
    assert mclu("--demo", option, "reboot", "web").out == "would reboot ham0:web\n"
    assert mclu("--demo", option, "-c", "shutdown web; start web").out.splitlines()[1] == "would start ham0:web"
    assert mclu("--demo", option, script, "web").out.splitlines()[1] == f"{script}:2: would start ham0:web"
    assert mclu("--demo", option, "-", given="reboot web").out == "stdin:1: would reboot ham0:web\n"
    assert mclu("--demo", option, "-c", f"run {script} web").out.splitlines()[1] == f"{script}:2: would start ham0:web"
    assert mclu("--demo", option, "--check", script, "web").out == ""


def test_an_interactive_shell_shows_that_it_is_a_dry_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    shell = Terminal("--demo", "-n")
    try:
        shell.read_until(lambda screen: screen.rstrip().endswith("mclu (dry run)>"))
        assert "A dry run:" in shell.screen
        shell.type("boot mine new; destroy new\r")
        shell.read_until(lambda screen: "would destroy ham0:new: with all files of its boot, if you confirm" in screen)
        shell.type("destroy web\r")
        shell.read_until(lambda screen: "would destroy ham0:web: running, 0 bytes on disk, if you confirm" in screen)
        shell.type("list --active\r")
        shell.read_until(lambda screen: "ham0:web  running" in screen)
    finally:
        shell.close()
