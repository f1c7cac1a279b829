"""Dry runs on the simulated nodes: what is told, that nothing is changed, and that a real run does just that."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.command import Context
from mclu_shell.commands import command_names, load_command
from mclu_shell.errors import SSHRefused
from tests.conftest import Answer, InProcess
from tests.shell.terminal import Terminal
from tests.test_session import interrupt_when

TEMPLATE = """\
#!/bin/sh
case $1 in
probe) echo hello ;;
base-image) echo nothing ;;
minimum-memory) echo 64M ;;
build) : >"$output" ;;
*) exit 2 ;;
esac
"""
# One line at least of each command. What a script or a program would do is in the tests' own directory.
LINES = (
    "boot mine new",
    "boot mine ham0:new --memory 512M --size 2G --vcpus 2",
    "boot mine ham1:new",
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
IMAGES = re.compile(r"/\S*/(ham\d)\b")


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a template, and a file."""
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("kept\n")
    (tmp_path / "mine.template").write_text(TEMPLATE)
    (tmp_path / "mine.template").chmod(0o755)


@pytest.fixture
def dry(clouds: Callable[..., InProcess]) -> InProcess:
    """A dry run's session on the simulated cloud."""
    return clouds(is_dry=True)


def everything(cloud: Cloud, *directories: Path) -> object:
    """Return all that a line could change: nodes, guests, their definitions, and files."""
    guests = [(outcome.value, str(outcome.error)) for outcome in cloud.ask(lambda node: node.fetch_guests())]
    definitions = cloud.ask(lambda node: node.fetch(lambda hypervisor: hypervisor.fetch_definitions()))
    images = [Path(node.config.images) for node in cloud.nodes]
    files = [file for directory in (*images, *directories) for file in [directory, *directory.rglob("*")]]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    return guests, [outcome.value for outcome in definitions], sorted(stats)


def told(answer: Answer) -> tuple[int, str, str]:
    """What is said, whatever directory a cloud has."""
    return answer.status, *(IMAGES.sub(r"…/\1", text) for text in (answer.out, answer.err))  # type: ignore[return-value]


def test_the_lines_here_are_of_all_commands() -> None:
    assert set(command_names()) <= {line.split()[0] for line in LINES}


@pytest.mark.parametrize("line", LINES)
def test_nothing_is_changed(dry: InProcess, tmp_path: Path, line: str) -> None:
    before = everything(dry.cloud, tmp_path)
    dry(line)
    dry.script(f"-{line}\n-{line}")
    assert everything(dry.cloud, tmp_path) == before


@pytest.mark.parametrize("line", ["boot mine new", "destroy web", "shutdown web", "reboot web", "on ham1"])
def test_what_would_change_a_node_without_having_said_so_is_stopped(dry: InProcess, line: str) -> None:
    """As a command might that is written later, and has no `rehearse`."""
    before = everything(dry.cloud)
    dry("status")
    name, *words = line.split()
    command = load_command(name)
    with pytest.raises(AssertionError, match="a dry run was about to change ham"):
        list(command.run(Context(lambda: dry.cloud, lambda _words: None), command.parser().parse(words)))
    assert everything(dry.cloud) == before


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
def test_the_errors_are_those_of_a_real_run(clouds: Callable[..., InProcess], lines: str) -> None:
    real, dry = clouds(), clouds(is_dry=True)
    happened, planned = told(real(lines)), told(dry(lines))
    assert happened[0] in (1, 2)
    assert (planned[0], planned[2]) == (happened[0], happened[2])


@pytest.mark.parametrize(("images", "fact"), [("gone", "cannot write to"), ("taken", "is there already")])
def test_what_a_build_could_not_begin_with_is_found(clouds: Callable[..., InProcess], images: str, fact: str) -> None:
    answers = []
    for is_dry in (False, True):
        cloud = clouds(is_dry=is_dry)
        directory = Path(cloud.cloud.nodes[0].config.images)
        if images == "gone":
            directory.rmdir()
        else:
            (directory / "new.qcow2").touch()
        answers.append(told(cloud("boot mine new")))
    assert answers[0] == answers[1]
    assert fact in answers[0][2]


def test_a_real_run_does_what_was_said(clouds: Callable[..., InProcess]) -> None:
    real, dry = clouds(), clouds(is_dry=True)
    lines = "boot mine new --memory 512M --vcpus 3; shutdown web db; start web; reboot new; destroy db; on ham1 --wait"
    said = told(dry(lines))[1].splitlines()
    assert said[:3] == [
        "would boot ham0:new: mine, 512.0M, 3vcpus, disk …/ham0/new.qcow2",
        "would shut down ham0:db: ask it to, wait at most 2 min",
        "would shut down ham0:web: ask it to, wait at most 2 min",
    ]
    assert said[3:] == [
        "would start ham0:web",
        "would reboot ham0:new",
        "would destroy ham0:db: shut off, 0 bytes on disk",
        "would wake ham1: a magic packet for 74:d4:35:51:ab:87 to 255.255.255.255 port 9",
        "would wait for ham1: at most 5 min, until libvirt answers there",
    ]
    assert real(lines).status == 0
    assert real("list --active").out == "ham0:new  running  512.0M  3vcpus\nham0:web  running  2.0G    2vcpus\n"
    assert (Path(real.cloud.nodes[0].config.images) / "new.qcow2").exists()
    assert real.on == ["ham0", "ham1"]


# What the lines before would have changed


def test_a_guest_that_would_have_been_made_is_there_for_the_lines_after(dry: InProcess) -> None:
    answer = dry.script("boot mine new\nreboot new\nshutdown new\nstart 'n*'\ndestroy new\nboot mine new\nstatus ham0")
    assert (answer.status, answer.err) == (0, "")
    assert [line.split(": ")[:2] for line in told(answer)[1].splitlines()[:6]] == [
        ["x.mclu:1", "would boot ham0:new"],
        ["x.mclu:2", "would reboot ham0:new"],
        ["x.mclu:3", "would shut down ham0:new"],
        ["x.mclu:4", "would start ham0:new"],
        ["x.mclu:5", "would destroy ham0:new"],
        ["x.mclu:6", "would boot ham0:new"],
    ]
    # A question is answered as things are.
    assert "2guests 4vcpus" in answer.out


def test_what_is_given_back_can_be_had(clouds: Callable[..., InProcess]) -> None:
    lines = "shutdown web db; boot mine new --memory 30G"
    real, dry = clouds(), clouds(is_dry=True)
    assert dry("boot mine new --memory 30G").status == real("boot mine new --memory 30G").status == 1
    assert dry(lines).status == real(lines).status == 0


def test_files_that_would_be_gone_are_in_nobodys_way(clouds: Callable[..., InProcess]) -> None:
    real = clouds()
    assert real("boot mine new").status == 0
    # The same cloud, with what was made in it.
    dry = InProcess(real.cloud, is_dry=True)
    image = Path(real.cloud.nodes[0].config.images) / "new.qcow2"
    before = everything(real.cloud)
    assert dry("boot mine new").err == "mclu: ham0: there is a guest 'new' already\n"
    answer = dry("destroy new; boot mine new")
    assert (answer.status, answer.err) == (0, "")
    assert f"  would delete {image} (" in answer.out
    assert f"would boot ham0:new: mine, 64.0M, 4vcpus, disk {image}\n" in answer.out
    assert everything(real.cloud) == before


@pytest.mark.parametrize("lines", ["boot mine new; destroy new", "destroy web"])
def test_what_a_node_that_does_not_answer_holds_back_is_held_back(clouds: Callable[..., InProcess], lines: str) -> None:
    real, dry = clouds(), clouds(is_dry=True)
    for cloud in (real.cloud, dry.cloud):
        cloud.nodes[1].fetch = refuse  # type: ignore[method-assign]
    happened, planned = told(real(lines)), told(dry(lines))
    assert (planned[0], planned[2]) == (happened[0], happened[2])
    assert planned[0] == 1


def test_who_was_not_asked_for_a_name_is_told_also_where_its_node_is_not_up(dry: InProcess) -> None:
    dry.cloud.nodes[1].fetch = refuse  # type: ignore[method-assign]
    told = "mclu: ham1: was not asked whether it has a guest 'new', too: ssh: permission denied for root\n"
    assert dry("on ham2 --wait; boot mine ham2:new").err == told


def refuse(*_given: object, **_options: object) -> None:
    """Stand in for what a machine is asked that is there and does not let us in."""
    raise SSHRefused("ssh: permission denied for root", place="ham1")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("wait guest web off; start web", 0),
        ("wait guest web off; reboot web", 1),
        ("shutdown web; wait guest web running; reboot web", 0),
        ("shutdown web; wait guest web ip; start web", 1),
        ("wait guest 'ham0:*' off; off ham0", 0),
        ("wait node ham0; shutdown web; wait guest web off; wait guest web off", 0),
    ],
)
def test_what_was_waited_for_has_happened(dry: InProcess, lines: str, status: int) -> None:
    assert dry(lines).status == status


def test_what_is_so_already_would_not_be_waited_for(dry: InProcess) -> None:
    answer = dry("wait node ham0 ham1; wait node ham2 off; wait guest web running; shutdown web; wait guest web off")
    assert answer.out.splitlines() == [
        "would not wait for ham0: on already",
        "would wait for ham1: at most 5 min, until libvirt answers there",
        "would not wait for ham2: off already",
        "would not wait for ham0:web: running already",
        "would shut down ham0:web: ask it to, wait at most 2 min",
        "would not wait for ham0:web: shut off already",
    ]


def test_guests_that_would_have_been_made_are_told_in_their_order(dry: InProcess) -> None:
    answer = dry("boot mine a; boot mine z; destroy --yes '*'")
    assert [line.split(":")[1] for line in answer.out.splitlines()[2:]] == ["a", "db", "web", "z"]


def test_no_node_that_comes_up_has_what_would_have_been_made(dry: InProcess) -> None:
    assert dry("boot mine new; on ham1 --wait; destroy new").err == ""


def test_a_node_that_would_be_off_is(dry: InProcess) -> None:
    answer = dry("shutdown '*'; off ham0; boot mine ham0:new")
    assert (answer.status, answer.err) == (1, "mclu: ham0: is off; 'on ham0' wakes it\n")
    assert "would switch off ham0: no guest runs on it\n" in answer.out


def test_of_a_node_that_is_off_and_would_be_on_nothing_is_made_up(dry: InProcess) -> None:
    answer = dry.script(
        "on ham1 --wait\nboot mine ham1:new --memory 999G\nreboot new\nreboot ham1:other\nreboot 'ham1:*'\n"
        "shutdown new\noff ham1\nboot mine ham1:more\n"
    )
    assert answer.out.splitlines()[2:] == [
        "x.mclu:2: would boot ham1:new: mine, 999.0G, if it has room, and no guest 'new', "
        "which is not known before it is up",
        "x.mclu:3: would reboot ham1:new",
        "x.mclu:5: would reboot ham1:new",
        "x.mclu:6: would shut down ham1:new: ask it to, wait at most 2 min",
        "x.mclu:7: would switch off ham1: if no guest runs on it, which is not known before it is up",
    ]
    assert answer.err.splitlines() == [
        "mclu: x.mclu:4: ham1: whether it has a guest 'other' is not known before it is up",
        "mclu: x.mclu:5: ham1: what it has is not known before it is up",
        "mclu: x.mclu:8: ham1: is off; 'on ham1' wakes it",
    ]
    assert answer.status == 1


def test_a_guest_that_runs_keeps_its_node_on_also_if_both_would_only_be_there(dry: InProcess) -> None:
    answer = dry("on ham1 --wait; boot mine ham1:new; off ham1")
    assert answer.err == "mclu: ham1: not switched off: guest running: new\n"


@pytest.mark.parametrize(
    ("memory", "place"),
    [
        ("1G", "ham0:new: mine, 1.0G, 4vcpus, disk …/ham0/new.qcow2"),
        ("30G", "ham1:new: mine, 30.0G, if it has room, and no guest 'new', which is not known before it is up"),
    ],
)
def test_the_first_node_that_surely_has_room_has_the_guest(dry: InProcess, memory: str, place: str) -> None:
    answer = dry(f"on ham1 --wait; boot mine new --memory {memory}")
    assert told(answer)[1].splitlines()[-1] == f"would boot {place}"
    assert answer.status == 0
    assert dry("reboot new").out == f"would reboot {place[:8]}\n"


def test_where_a_node_before_it_may_have_room_both_are_told(clouds: Callable[..., InProcess]) -> None:
    dry = clouds(is_dry=True)
    dry.cloud.nodes = tuple(reversed(dry.cloud.nodes))
    answer = dry("on ham1 --wait; boot mine new")
    assert answer.out.splitlines()[-1].endswith("which is not known before it is up; if not, on ham0")


def test_a_node_that_nobody_waits_for_is_still_off(dry: InProcess) -> None:
    answer = dry("on ham1; boot mine ham1:new")
    told = "mclu: ham1: is off, and nothing waits until it is up; 'on ham1 --wait' does\n"
    assert (answer.status, answer.err) == (1, told)
    # What a program of the user's does takes its time, which is nobody's to know.
    answer = dry("on ham1\n!sleep 60\nboot mine ham1:new")
    assert answer.status == 0
    assert answer.out.splitlines()[-1].startswith("would boot ham1:new: mine, 64.0M, if it has room")


def test_an_interrupted_script_does_not_say_that_anything_was_done(
    clouds: Callable[..., InProcess], tmp_path: Path
) -> None:
    hanging = tmp_path / "hanging.template"
    hanging.write_text(TEMPLATE.replace("echo hello", f"echo hello; touch {tmp_path}/began; sleep 20"))
    hanging.chmod(0o755)
    interrupt_when((tmp_path / "began").exists)
    answer = clouds(is_dry=True).script("on ham1\nboot hanging new\noff ham1\n")
    assert (answer.status, answer.err) == (130, "mclu: x.mclu:2: interrupted; commands told before: 1, not begun: 1\n")


# What leaves mclu


def test_no_file_is_written_and_no_program_run(dry: InProcess, tmp_path: Path) -> None:
    answer = dry.script("!touch made\nstatus ham1 > kept\nstatus ham1 >> new\nstatus ham1 | tee made")
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


def test_no_packet_is_sent(clouds: Callable[..., InProcess]) -> None:
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
    assert answer.err == "mclu: ham0: no mac= in mclu.conf, so it cannot be woken\n"


def test_a_node_is_on_also_if_it_does_not_let_us_in(clouds: Callable[..., InProcess], closed_port: int) -> None:
    way = f"broadcast=127.0.0.1 address=127.0.0.1 port={closed_port}"
    answer = clouds(f"[nodes]\nham0 mac=74:d4:35:51:ab:86 {way}", is_dry=True)("on ham0")
    assert answer.out == "would wake ham0: a magic packet for 74:d4:35:51:ab:86 to 127.0.0.1 port 9, though it is on\n"


@pytest.mark.parametrize("where", ["127.0.0.1:x", "240.0.0.1"])
def test_a_packet_that_could_not_be_sent_is_told(clouds: Callable[..., InProcess], where: str) -> None:
    config = f"[nodes]\nham0 mac=74:d4:35:51:ab:86 broadcast={where} address=127.0.0.1 port=1"
    happened, planned = clouds(config)("on ham0"), clouds(config, is_dry=True)("on ham0")
    # Whether there is a route to the last of them depends on the machine.
    assert (planned.status, planned.err) == (happened.status, happened.err)


def test_this_machine_is_neither_woken_nor_switched_off(clouds: Callable[..., InProcess]) -> None:
    config = "[nodes]\nhere via=local uri=test:///default mac=74:d4:35:51:ab:86"
    assert clouds(config, is_dry=True)("on here").err == "mclu: here: is this machine, which is on\n"
    answer = clouds(config, is_dry=True)("shutdown test; off here")
    assert answer.err == "mclu: here: is this machine; mclu does not switch it off\n"


# The doors


def test_a_real_run_loads_nothing_of_it() -> None:
    code = (
        "import sys; from mclu_shell.cli import main; from mclu_shell.commands import command_names, load_command\n"
        "for name in command_names(): load_command(name)\n"
        "main(['--demo', '-c', 'shutdown web; destroy web; off ham0']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    *answers, modules = done.stdout.splitlines()
    assert answers == ["ham0:web shut down", "ham0:web destroyed"]
    assert [name for name in modules.split() if re.search(r"rehears|dryrun|records\.planned", name)] == []


@pytest.mark.parametrize("option", ["-n", "--dry-run"])
def test_a_one_shot_lines_and_scripts(mclu: Callable[..., Answer], tmp_path: Path, option: str) -> None:
    script = tmp_path / "a.mclu"
    script.write_text("shutdown web\nstart $1\n")
    assert mclu("--demo", option, "reboot", "web").out == "would reboot ham0:web\n"
    assert mclu("--demo", option, "-c", "shutdown web; start web").out.splitlines()[1] == "would start ham0:web"
    assert mclu("--demo", option, script, "web").out.splitlines()[1] == f"{script}:2: would start ham0:web"
    assert mclu("--demo", option, "-", given="reboot web").out == "stdin:1: would reboot ham0:web\n"
    assert mclu("--demo", option, "-c", f"run {script} web").out.splitlines()[1] == f"{script}:2: would start ham0:web"
    assert mclu("--demo", option, "--check", script, "web").out == ""


def test_an_interactive_shell_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    shell = Terminal("--demo", "-n")
    try:
        shell.read_until(lambda screen: screen.rstrip().endswith("mclu (dry run)>"))
        assert "A dry run:" in shell.screen
        shell.type("boot mine new; destroy new\r")
        shell.read_until(
            lambda screen: "would destroy ham0:new: with what its boot would have made, if you say yes" in screen
        )
        shell.type("destroy web\r")
        shell.read_until(lambda screen: "would destroy ham0:web: running, 0 bytes on disk, if you say yes" in screen)
        shell.type("list --active\r")
        shell.read_until(lambda screen: "ham0:web  running" in screen)
    finally:
        shell.close()


def test_what_would_be_waited_for_is_told_and_not_waited_for(dry: InProcess) -> None:
    answer = dry.script(
        "on ham1\nwait node ham0 ham1\nwait guest web console 'x y' --timeout 90\noff ham1\nwait node ham1 off"
    )
    assert (answer.status, answer.err) == (0, "")
    lines = [line.partition(" ")[2] for line in answer.out.splitlines()]
    assert lines[1:4] == [
        "would not wait for ham0: on already",
        "would wait for ham1: at most 5 min, until libvirt answers there",
        "would wait for ham0:web: to write 'x y' on the console, at most 90 s",
    ]
    # It would be off by then.
    assert lines[5:] == ["would not wait for ham1: off already"]
