"""destroy on simulated nodes: queries and messages. tests/lab tests the deletion on real nodes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.session.interaction import Interaction
from tests.support.mclu import InProcess
from tests.support.nodes import write_node

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")

UUID = "11111111-2222-4333-8444-555555555555"
GUEST = """<domain type="test"><name>{name}</name><uuid>{uuid}</uuid>
<metadata><m:guest xmlns:m="urn:mclu:1" uuid="{uuid}"><m:file>{disk}</m:file></m:guest></metadata>
<memory unit="MiB">64</memory><os><type>hvm</type><kernel>{disk}</kernel></os><devices>{devices}</devices></domain>"""
OFF = ["off address=127.0.0.1 port={off}"]
FAULTY = [*OFF, "faulty address=127.0.0.1 port={faulty}"]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return the disk that mclu created for web."""
    disk = tmp_path / "web.qcow2"
    disk.write_bytes(bytes(65536))
    return disk


@pytest.fixture
def make(
    tmp_path: Path, disk: Path, clouds: Callable[..., InProcess], silent_port: int, closed_port: int
) -> Callable[..., InProcess]:
    """Return a function that opens a cloud: ham0 with web, ham1 with the guests given by UUID, and more nodes."""

    def made(more: list[str], devices: str = "", **others: str) -> InProcess:
        lines = []
        for node, uuids in {"ham0": {"web": UUID}, "ham1": others}.items():
            own = disk if node == "ham0" else "/no/such/disk"
            xmls = (GUEST.format(name=name, uuid=uuid, disk=own, devices=devices) for name, uuid in uuids.items())
            lines.append(write_node(tmp_path, node, *xmls))
        text = "\n".join([f"[global]\nimages={tmp_path}\n[nodes]", *lines, *more])
        return clouds(text.format(off=silent_port, faulty=closed_port))

    return made


def test_disks_are_deleted_if_no_other_node_has_the_guest(make: Callable[..., InProcess], disk: Path) -> None:
    answer = make(OFF, db=UUID.replace("1", "2"))("destroy ham0:web")
    assert (answer.status, answer.out, answer.err) == (0, "ham0:web destroyed\n", "")
    assert not disk.exists()


def test_disks_are_kept_if_another_node_has_the_guest(make: Callable[..., InProcess], disk: Path) -> None:
    mclu = make(OFF, mig=UUID)
    answer = mclu("destroy ham0:web")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out == f"ham0:web destroyed\n  kept: {disk} (ham1:mig has the same UUID)\n"
    assert disk.exists()
    assert mclu("list --all").out.split()[0] == "ham1:mig"


def test_a_file_that_no_other_node_can_have_is_deleted_while_a_node_cannot_be_queried(
    make: Callable[..., InProcess], disk: Path
) -> None:
    answer = make(FAULTY)("destroy ham0:web")
    assert (answer.status, answer.out, answer.err) == (0, "ham0:web destroyed\n", "")
    assert not disk.exists()


def test_a_shared_file_is_kept_while_a_node_cannot_be_queried(
    make: Callable[..., InProcess], disk: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileId, "is_local", False)
    answer = make(FAULTY)("destroy ham0:web")
    assert (answer.status, answer.out) == (1, "")
    refused, why = answer.err.splitlines()
    assert refused.startswith(f"mclu: ham0: web not destroyed: {disk} is on ")
    assert ", and cannot check off and faulty for its users; retry when off and faulty can be checked, or " in refused
    fault = f"ssh: connection refused on port {closed_port}"
    assert why.startswith(f"mclu: faulty: cannot check its guests: {fault}")
    assert disk.exists()


def test_the_fault_of_a_node_is_reported_once(
    make: Callable[..., InProcess], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileId, "is_local", False)
    answer = make(FAULTY)("destroy --yes 'w*'")
    assert (answer.status, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 2
    assert disk.exists()


def test_the_question_lists_files_without_control_characters(
    make: Callable[..., InProcess], tmp_path: Path, disk: Path
) -> None:
    odd = tmp_path / "odd\x9b2J.img"
    odd.write_bytes(bytes(512))
    devices = f"<disk type='file'><driver type='qcow2'/><source file='{odd}'/><target dev='sda'/></disk>"
    mclu = make(FAULTY, devices)
    questions: list[str] = []

    def decline(question: str) -> bool:
        questions.append(question)
        return False

    mclu.session.interaction = Interaction(confirm=decline)
    answer = mclu("destroy ham0:web")
    assert (answer.status, answer.out, answer.err) == (0, "Nothing was destroyed.\n", "")
    assert questions[0].splitlines() == [
        "web on ham0 (running), 64K on disk",
        f"  delete: {disk}",
        f"  keep: {tmp_path}/odd 2J.img (not made by mclu)",
        "Destroy it?",
    ]
    assert disk.exists()
