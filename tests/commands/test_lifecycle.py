"""boot, start, shutdown, reboot and destroy on the simulated nodes; on real ones, see tests/lab."""

import shutil
from pathlib import Path

import pytest

from mclu_shell.session.interaction import Interaction
from tests.support.mclu import InProcess

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="the template 'empty' needs qemu-img")


@pytest.fixture(autouse=True)
def shipped(demo: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLU_PATH", str(Path(__file__).parents[2] / "templates"))


def disks(demo: InProcess) -> list[str]:
    images = [Path(node.config.images) for node in demo.cloud.nodes]
    return sorted(file.name for directory in images for file in directory.iterdir())


@needs_qemu_img
def test_a_guest_is_booted_and_destroyed_without_leftovers(demo: InProcess) -> None:
    assert demo("boot empty new --memory 512M --size 1G").out == "ham0:new running\n"
    assert disks(demo) == ["new.qcow2"]
    assert "ham0:new  running  512M  4vcpus" in demo("list --active").out
    assert demo("destroy new").out == "ham0:new destroyed\n"
    assert disks(demo) == []
    assert "new" not in demo("list --active").out


@needs_qemu_img
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("boot empty web", "ham0: guest 'web' already exists"),
        ("boot empty ham1:new", "ham1: is off; run 'on ham1'"),
        ("boot empty new --memory 999G", "no room"),
        ("boot empty new --size 1", "a disk of 1 byte is too small: empty needs at least 1M"),
        ("boot nosuch new", "no such template 'nosuch'"),
        ("boot empty 'a b'", "bad guest name 'a b'"),
        ("boot empty '../x'", "bad guest name '../x'"),
        ("boot empty '$(touch x)'", "bad guest name '$(touch x)'"),
        ("boot empty -- -x", "bad guest name '-x'"),
        (f"boot empty {'n' * 300}", "bad guest name"),
        ("boot empty new --memory 0", "bad size '0'"),
        ("boot empty new --size=-1G", "bad size '-1G'"),
        ("boot empty new --vcpus 0", "bad number of virtual CPUs '0'"),
        ("boot empty new --timezone ../../etc/passwd", "bad time zone"),
    ],
)
def test_a_refused_boot_is_one_line_and_creates_nothing(demo: InProcess, line: str, message: str) -> None:
    answer = demo(line)
    expected = "24.9G free" if message == "no room" else message
    assert answer.status in (1, 2)
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1
    assert expected in answer.err
    assert disks(demo) == []


def test_guests_are_stopped_and_started(demo: InProcess) -> None:
    assert demo("shutdown web").out == "ham0:web shut down\n"
    assert demo("list --inactive").out == "ham0:web  shut off  2G  2vcpus\n"
    assert demo("shutdown web").err == "mclu: ham0: web is not running; run 'start ham0:web'\n"
    assert demo("start web").out == "ham0:web started\n"
    assert demo("start web").err == "mclu: ham0: web is already running\n"


def test_wildcards_select_guests_in_a_suitable_state(demo: InProcess) -> None:
    demo("shutdown web")
    assert demo("reboot '*'").out == "ham0:db reboot requested\n"
    assert demo("start '*'").out == "ham0:web started\n"
    assert sorted(demo("reboot --hard 'ham0:*'").out.splitlines()) == ["ham0:db reset", "ham0:web reset"]


def test_destroying_by_wildcard_requires_yes(demo: InProcess) -> None:
    answer = demo("destroy '*'")
    assert (answer.status, answer.out) == (1, "")
    assert "--yes" in answer.err
    assert demo("list --active").out.count("running") == 2
    assert sorted(demo("destroy --yes '*'").out.splitlines()) == ["ham0:db destroyed", "ham0:web destroyed"]


def test_destroy_asks_at_the_prompt_and_no_cancels_it(demo: InProcess) -> None:
    questions: list[str] = []

    def decline(question: str) -> bool:
        questions.append(question)
        return False

    demo.session.interaction = Interaction(confirm=decline)
    assert demo("destroy web").out == "Nothing was destroyed.\n"
    assert questions[0].splitlines()[0].startswith("web on ham0 (running)")
    assert "ham0:web" in demo("list --active").out
