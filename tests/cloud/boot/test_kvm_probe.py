"""The test of KVM, with stand-ins for the emulator that run QEMU with TCG."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.boot.kvm_probe import KVMResult, KVMStatus, probe_kvm
from mclu_shell.cloud.nodes.node import Node
from tests.support.mclu import InProcess
from tests.support.processes import has_ended
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
CONFIG = "[nodes]\nham0 via=local uri=test:///default"
# Logs each run, and replaces KVM by TCG.
EMULATOR = """#!/bin/sh
echo "$*" >>"{runs}"
case "$*" in
    *"-accel kvm"*) {kvm} ;;
    *) {tcg} ;;
esac
exec qemu-system-x86_64 $(echo "$*" | sed 's/-accel kvm -cpu host/-accel tcg -cpu max/')
"""

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed")


class StandIn:
    """An emulator that runs a shell command first: `kvm` when it is started with KVM, else `tcg`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "emulator"
        self._runs = directory / "runs"

    def write(self, kvm: str = ":", tcg: str = ":") -> None:
        self.path.write_text(EMULATOR.format(runs=self._runs, kvm=kvm, tcg=tcg))
        self.path.chmod(0o755)

    @property
    def runs(self) -> int:
        return len(self._runs.read_text().splitlines()) if self._runs.exists() else 0


@pytest.fixture
def emulator(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


@pytest.fixture
def node(clouds: Callable[..., InProcess]) -> Node:
    """This machine; its libvirt is a simulated one."""
    return clouds(CONFIG).cloud.nodes[0]


def probe(node: Node, emulator: StandIn) -> KVMResult:
    return probe_kvm(node, str(emulator.path), "x86_64")


def error(text: str) -> str:
    return f"echo 'qemu-system-x86_64: {text}' >&2"


def test_kvm_works_if_the_firmware_finishes(node: Node, emulator: StandIn) -> None:
    emulator.write()
    assert probe(node, emulator).status == KVMStatus.WORKS
    assert emulator.runs == 1


def test_kvm_is_too_slow_if_the_firmware_finishes_sooner_with_tcg(node: Node, emulator: StandIn) -> None:
    emulator.write(kvm="sleep 9")
    result = probe(node, emulator)
    assert result.status == KVMStatus.TOO_SLOW
    assert result.reason.startswith("the firmware takes over ")


def test_kvm_is_too_slow_if_the_node_was_busy_only_during_the_first_run_with_tcg(
    node: Node, emulator: StandIn, tmp_path: Path
) -> None:
    emulator.write(kvm="sleep 5", tcg=f"[ -e {tmp_path}/ran ] || sleep 1.5; touch {tmp_path}/ran")
    assert probe(node, emulator).status == KVMStatus.TOO_SLOW


def test_kvm_of_a_busy_node_is_not_too_slow(node: Node, emulator: StandIn) -> None:
    emulator.write(kvm="sleep 4", tcg="sleep 3")
    assert probe(node, emulator).status == KVMStatus.WORKS


@pytest.mark.parametrize(
    ("kvm", "reason"),
    [
        (
            f"{error('warning: x')}; {error('error: failed to set MSR')}; {error('Assertion')}; kill -ABRT $$",
            "failed to set MSR",
        ),
        (
            f"{error('-accel kvm: failed to initialize kvm: No such device')}; exit 1",
            "failed to initialize kvm: No such device",
        ),
        ("exit 0", "the guest was reset before its firmware had finished"),
        ("exit 3", "exit status 3"),
    ],
)
def test_kvm_does_not_work_if_qemu_fails_only_with_it(node: Node, emulator: StandIn, kvm: str, reason: str) -> None:
    emulator.write(kvm)
    assert probe(node, emulator) == KVMResult(KVMStatus.FAILS, reason)


@pytest.mark.parametrize(
    ("kvm", "tcg", "reason"),
    [
        ("kill -KILL $$", ":", "the emulator was killed"),
        (f"{error('Could not access KVM kernel module: Permission denied')}; exit 1", ":", "Permission denied"),
        (f"{error('ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy')}; exit 1", ":", "busy"),
        ("exit 1", f"{error('could not load PC BIOS')}; exit 1", "fails without KVM, too: could not load PC BIOS"),
    ],
)
def test_kvm_is_untested_if_the_failure_may_have_another_cause(
    node: Node, emulator: StandIn, kvm: str, tcg: str, reason: str
) -> None:
    emulator.write(kvm, tcg)
    for _ in range(2):
        before = emulator.runs
        result = probe(node, emulator)
        assert result.status == KVMStatus.UNTESTED
        assert reason in result.reason
        # The cause may pass, so the result is not cached.
        assert emulator.runs > before


def test_kvm_is_untested_without_the_emulator(node: Node, emulator: StandIn) -> None:
    result = probe(node, emulator)
    assert result.status == KVMStatus.UNTESTED
    assert str(emulator.path) in result.reason


def test_kvm_is_untested_without_the_program_timeout(
    node: Node, emulator: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.write()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "stat", "tr", "sed", "qemu-system-x86_64"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    assert probe(node, emulator) == KVMResult(KVMStatus.UNTESTED, "the node has no timeout")
    assert emulator.runs == 0


def test_kvm_of_other_architectures_is_not_tested(node: Node, emulator: StandIn) -> None:
    emulator.write("exit 1")
    assert probe_kvm(node, str(emulator.path), "aarch64").status == KVMStatus.WORKS
    assert emulator.runs == 0


@pytest.mark.parametrize("kvm", [":", "exit 1"])
def test_a_result_is_cached_until_the_node_boots_or_its_emulator_changes(
    node: Node, emulator: StandIn, tmp_path: Path, kvm: str
) -> None:
    emulator.write(kvm)
    first = probe(node, emulator)
    runs = emulator.runs
    assert probe(node, emulator) == first
    assert emulator.runs == runs
    file = tmp_path / ".cache/mclu/kvm-ham0.json"
    assert file.stat().st_mode & 0o777 == 0o600
    record = json.loads(file.read_text())
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert record["key"].startswith(boot_id)
    file.write_text(json.dumps({**record, "key": record["key"].replace(boot_id, "another")}))
    assert probe(node, emulator).status == first.status
    assert emulator.runs == 2 * runs
    os.utime(emulator.path, (1, 1))
    assert probe(node, emulator).status == first.status
    assert emulator.runs == 3 * runs


@pytest.mark.parametrize("text", ["", "[]", '{"key": "x"}', '{"key": "x", "status": "fine", "reason": ""}'])
def test_a_damaged_cache_is_ignored(node: Node, emulator: StandIn, tmp_path: Path, text: str) -> None:
    emulator.write()
    file = tmp_path / ".cache/mclu/kvm-ham0.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert probe(node, emulator).status == KVMStatus.WORKS
    assert emulator.runs == 1


def test_the_emulator_ends_with_mclu(emulator: StandIn, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    emulator.write("exit 1", f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60")
    code = (
        "import sys; from pathlib import Path; from mclu_shell.cloud.open import open_cloud\n"
        "from mclu_shell.cloud.boot.kvm_probe import probe_kvm; from mclu_shell.config import parse_config\n"
        f"cloud = open_cloud(parse_config({CONFIG!r}, Path('x')))\n"
        "probe_kvm(cloud.nodes[0], sys.argv[1], 'x86_64')"
    )
    with subprocess.Popen([sys.executable, "-c", code, emulator.path], cwd=ROOT) as mclu:
        assert eventually(pid_file.exists, 10)
        mclu.send_signal(signal.SIGKILL)
    assert eventually(lambda: has_ended(int(pid_file.read_text())), 10)
