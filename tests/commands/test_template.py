from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.state.snapshot import Snapshot
from mclu_shell.completion import complete
from tests.support.mclu import InProcess
from tests.support.templates import template_text, write_template

REPOSITORY = Path(__file__).parents[2]
SHIPPED = ("debian", "debian-cloud", "empty", "fedora", "rawhide", "tiny", "ubuntu", "ubuntu-cloud")
GOOD = template_text(
    base_image="echo fedora-42",
    minimum_memory="echo 1G",
    recommended_memory="echo 2G",
    minimum_size="echo 6G",
    disk_bus="echo ide",
    network_model="echo e1000",
    kernel_arguments="echo console=ttyS0 quiet",
    programs="echo 'curl|wget qemu-img'",
    xml="echo \"<domain type='qemu'><name>$name</name><memory>9</memory><os><type>hvm</type></os></domain>\"",
)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a valid template into $MCLU_PATH, with one replacement in its text."""
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))

    def make(old: str = "", new: str = "", name: str = "mine") -> Path:
        path = tmp_path / f"{name}.template"
        assert old in GOOD
        path.write_text(GOOD.replace(old, new) if old else GOOD)
        path.chmod(0o755)
        return path

    return make


def verdicts(text: str) -> dict[str, list[str]]:
    """Return the rules of each verdict, with their details."""
    sorted_out: dict[str, list[str]] = {"ok": [], "not ok": [], "not given": []}
    for line in text.splitlines():
        verdict = next(verdict for verdict in ("not ok", "not given", "ok") if line.startswith(verdict))
        sorted_out[verdict].append(" ".join(line.removeprefix(verdict).split()))
    return sorted_out


def test_a_valid_template_passes_every_rule(demo: InProcess, write: Write) -> None:
    write()
    answer = demo("template check mine")
    assert (answer.status, answer.err) == (0, "")
    assert verdicts(answer.out) == {
        "ok": [
            "is an executable script",
            "has a valid name mine",
            "has no Windows line ends",
            "has no syntax error",
            "probe prints hello",
            "an unknown parameter exits with status 2",
            "base-image is an image name fedora-42",
            "minimum-memory is a size 1G",
            "recommended-memory is a size 2G",
            "recommended-memory is not below minimum-memory",
            "minimum-size is a size 6G",
            "disk-bus is ide, virtio or virtio-scsi ide",
            "network-model is e1000 or virtio e1000",
            "kernel-arguments are words on one line console=ttyS0 quiet",
            "programs are names on one line curl|wget qemu-img",
            "xml is a libvirt domain with the guest's name",
            "needs no other local file",
            "libvirt accepts the xml only compared with the schema: no node with QEMU is on",
        ],
        "not ok": [],
        "not given": [],
    }


def test_optional_values_are_not_given_and_no_failure(demo: InProcess, tmp_path: Path) -> None:
    answer = demo(f"template check {write_template(tmp_path, 'least')}")
    assert answer.status == 0
    assert len(verdicts(answer.out)["not given"]) == 10


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("*) exit 2", "*) exit 0", "exits with status 2 'no-such-parameter': exit status 0, expected 2"),
        ("*) exit 2", "*) exit 1", "exits with status 2 no-such-parameter: exit status 1"),
        ("echo fedora-42", "echo '$(reboot)'", "an image name base-image: not an image name: '$(reboot)'"),
        ("base-image)", "image)", "an image name 'base-image' is not supported"),
        ("echo 1G", "echo much", "minimum-memory: not a size, such as 512M or 4G: 'much'"),
        ("echo 1G", "echo 3G", "recommended-memory is not below minimum-memory 2G is less than 3G"),
        ("echo ide", "echo floppy", "disk-bus: not one of ide, virtio, virtio-scsi: 'floppy'"),
        ("</domain>", "", "its xml is not XML"),
        ('echo "<domain', 'echo "<network/>" ;; x) echo "<domain', "its xml is a <network>, not a <domain>"),
        (
            "memory>",
            "memroy>",
            "accepts the xml does not match libvirt's schema: Element domain has extra content: memroy",
        ),
        ("xml) ", "xml) set -u; : $unset; ", "xml is a libvirt domain with the guest's name xml: exit status 2 ("),
        ("minimum-size) ", "minimum-size) set -u; : $unset; ", "minimum-size is a size minimum-size: exit status 2 ("),
        ("<name>", "<name>x", "its xml names 'xsample', not 'sample'"),
        ("echo fedora-42", 'cat "$(dirname "$0")/image"', "no other local file base-image: exit status 1"),
    ],
)
def test_each_failed_rule_is_reported(
    demo: InProcess, write: Write, tmp_path: Path, old: str, new: str, detail: str
) -> None:
    (tmp_path / "image").write_text("fedora-1\n")
    write(old, new)
    answer = demo("template check mine")
    assert answer.status == 1
    broken = verdicts(answer.out)["not ok"]
    assert any(detail in rule for rule in broken), answer.out
    rules = "1 rule" if len(broken) == 1 else f"{len(broken)} rules"
    assert answer.err == f"mclu: mine: {rules} failed\n"


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("echo hello", "echo hi", "probe prints hello probe: expected 'hello\\n', got 'hi\\n'"),
        ("echo hello", "kill -SEGV $$", "probe prints hello probe: killed by SIGSEGV"),
        ("#!/bin/sh", "#!/nosuch", "is an executable script cannot run its interpreter '/nosuch' on this machine"),
    ],
)
def test_a_file_that_is_no_template_is_not_queried_further(
    demo: InProcess, write: Write, old: str, new: str, detail: str
) -> None:
    write(old, new)
    answer = demo("template check mine")
    assert (answer.status, answer.err) == (1, "mclu: mine: 1 rule failed\n")
    assert verdicts(answer.out)["not ok"] == [detail]
    assert " ".join(answer.out.splitlines()[-1].split()) == f"not ok {detail}"


def test_a_file_outside_of_mclu_path_is_checked(demo: InProcess, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    monkeypatch.delenv("MCLU_PATH")
    monkeypatch.chdir(path.parent)
    assert demo("template check mine.template").status == demo("template check ./mine.template").status == 0
    answer = demo("template check ./nosuch")
    assert (answer.status, answer.out) == (1, "not ok  is an executable script  not a file\n")


def test_show_prints_the_settings(demo: InProcess, write: Write) -> None:
    path = write("recommended-memory)", "nothing)")
    assert demo("template show mine").out == (
        f"path              {path}\n"
        "base-image        fedora-42\n"
        "minimum-memory    1G\n"
        "minimum-size      6G\n"
        "disk-bus          ide\n"
        "network-model     e1000\n"
        "kernel-arguments  console=ttyS0 quiet\n"
    )


def test_show_of_a_broken_template_reports_the_fault(demo: InProcess, write: Write) -> None:
    write("echo ide", "echo floppy")
    answer = demo("template show mine")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == "mclu: mine: disk-bus: not one of ide, virtio, virtio-scsi: 'floppy'\n"


def test_an_unknown_template_has_near_misses(demo: InProcess, write: Write) -> None:
    write()
    answer = demo("template show mien")
    assert (answer.status, answer.err) == (1, "mclu: no such template 'mien'; did you mean 'mine'?\n")


def test_an_unknown_action_is_a_usage_error(demo: InProcess) -> None:
    answer = demo("template chekc mine")
    assert answer.status == 2
    assert "'chekc' is not one of show, check" in answer.err


def test_actions_and_templates_are_completed_without_running_one(write: Write, tmp_path: Path) -> None:
    write("echo hello", f"touch {tmp_path}/ran")

    def completed(text: str) -> list[str]:
        return [candidate.text for candidate in complete(text, Snapshot(())).candidates]

    assert completed("template ") == ["show", "check"]
    assert completed("template check m") == ["mine"]
    assert not (tmp_path / "ran").exists()


def test_a_broken_template_is_listed_with_its_fault_beside_the_others(demo: InProcess, write: Write) -> None:
    write(name="good")
    write("echo hello", "exit 3", name="bad")
    answer = demo("list --templates")
    assert answer.status == 1
    assert [line.split()[:2] for line in answer.out.splitlines()] == [["bad", "broken"], ["good", "template"]]
    assert answer.err == "mclu: bad: probe: exit status 3\n"


def test_the_example_in_the_documentation_passes_every_rule(demo: InProcess, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/templates.md").read_text(encoding="utf-8")
    path = tmp_path / "copy.template"
    path.write_text(page.partition("```sh\n")[2].partition("```")[0])
    path.chmod(0o755)
    answer = demo(f"template check {path}")
    assert (answer.status, answer.err) == (0, "")
    for line in page.partition("template check copy\n")[2].partition("…")[0].splitlines():
        assert line in answer.out.splitlines()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_templates_are_valid(demo: InProcess, name: str) -> None:
    answer = demo(f"template check {REPOSITORY}/templates/{name}.template")
    assert (answer.status, answer.err) == (0, "")


def test_shipped_templates_are_listed(demo: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCLU_PATH")
    answer = demo("list --templates")
    assert (answer.status, answer.err) == (0, "")
    assert tuple(line.split()[0] for line in answer.out.splitlines()) == SHIPPED
