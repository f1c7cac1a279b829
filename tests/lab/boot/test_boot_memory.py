"""Memory of real nodes: what is free, reserved by boots in progress, and checked before the start."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.support.boot import assert_error
from tests.lab.support.cli import background, mclu, mclu_parallel, run_guest, virsh, wait_until
from tests.lab.support.guests import (
    BUILD,
    IMAGES,
    WAIT,
    images,
    open_gate,
    send_signal,
    sh,
    states,
    template,
    traces,
    wait_for_gate,
)
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1", "ham2"]), pytest.mark.usefixtures("templates")]

NODES = ("ham0", "ham1", "ham2")
GIB = 1 << 30
SetMemory = Callable[..., None]


@pytest.fixture
def machine(lab: RealLab) -> Iterator[SetMemory]:
    """Set a node's memory in GiB: its /proc/meminfo is a file, which libvirtd and mclu read."""

    def set_memory(node: str, available: float, total: float = 23.5) -> None:
        figures = {"MemTotal": total, "MemFree": available / 2, "MemAvailable": available, "Cached": available / 2}
        text = "".join(f"{name}: {int(value * (1 << 20))} kB\n" for name, value in {**figures, "Buffers": 0}.items())
        lab.run("tee", "/run/meminfo", node=node, input=text)
        mounted = "grep -q ' /proc/meminfo ' /proc/self/mounts"
        sh(lab, node, f"{mounted} || mount --bind /run/meminfo /proc/meminfo")

    yield set_memory
    for node in NODES:
        lab.run("sh", "-c", "umount /proc/meminfo; rm -f /run/meminfo /dev/shm/big", node=node)


def free(lab: RealLab, node: str) -> float:
    """Return a node's free memory in GiB."""
    answer = json.loads(mclu(lab, "-o", "json", "status", node).out)
    return float(answer["nodes"][0]["free_bytes"]) / GIB


def claims(lab: RealLab, node: str) -> list[str]:
    """Return the claims of boots on a node."""
    return [name for name in images(lab, node) if name.endswith(".building")]


def promised(lab: RealLab, node: str) -> int:
    """Return the memory of a node's running guests in GiB."""
    uuids = virsh(lab, node, "list", "--uuid").split()
    kib = [virsh(lab, node, "dominfo", uuid).partition("Max memory:")[2].split()[0] for uuid in uuids]
    return sum(map(int, kib)) >> 20


def test_three_boots_at_the_same_time_do_not_overcommit_a_node(lab: RealLab, machine: SetMemory) -> None:
    for node in NODES:
        machine(node, 22)
    results = mclu_parallel(lab, *(f"boot quick g{number} --memory 9G" for number in range(3)))
    assert [result.status for result in results] == [0, 0, 0], results
    assert [promised(lab, node) for node in NODES] == [18, 9, 0]
    assert not any(claims(lab, node) for node in NODES)


def test_boots_that_choose_one_node_at_the_same_moment_claim_one_after_another(
    lab: RealLab, machine: SetMemory
) -> None:
    for node in NODES:
        machine(node, 10)
    sh(lab, "ham0", "mkfifo /tmp/hold")
    hold = f"flock {IMAGES} sh -c 'echo >/tmp/held; read -r line </tmp/hold'"
    with ExitStack() as stack:
        holder = stack.enter_context(background(lab, "ssh", "ham0", hold, program=None))
        wait_until(lambda: sh(lab, "ham0", "find /tmp -name held"))
        boots = [stack.enter_context(background(lab, "boot", "quick", f"g{i}", "--memory", "9G")) for i in range(3)]
        # All have chosen ham0, and wait there.
        wait_until(lambda: len(claims(lab, "ham0")) == 3)
        sh(lab, "ham0", "echo >/tmp/hold")
        holder.wait(10)
        results = [(boot.communicate(timeout=60), boot.returncode) for boot in boots]
    assert [status for _, status in results] == [0, 0, 0], results
    assert [promised(lab, node) for node in NODES] == [9, 9, 9]


def test_memory_is_reserved_during_the_build(lab: RealLab, templates: Path, machine: SetMemory) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    for node in NODES:
        machine(node, 22)
    with background(lab, "boot", "slow", "ham0:web", "--memory", "15G") as command:
        wait_for_gate(lab, "ham0")
        assert free(lab, "ham0") == 7
        assert mclu(lab, "-n", "boot", "quick", "db", "--memory", "9G").out.startswith("would boot ham1:db")
        refused = "ham0: not enough free memory: 9G requested, 7G free, and boots in progress have reserved 15G"
        for dry in ([], ["-n"]):
            assert_error(mclu(lab, *dry, "boot", "quick", "ham0:db", "--memory", "9G"), refused)
        assert mclu(lab, "boot", "quick", "db", "--memory", "9G").out == "ham1:db running\n"
        assert mclu(lab, "boot", "quick", "ham0:small", "--memory", "6G").out == "ham0:small running\n"
        open_gate(lab, "ham0")
        assert (command.wait(30), command.communicate()) == (0, ("ham0:web running\n", ""))
    assert promised(lab, "ham0") == 21
    assert claims(lab, "ham0") == []


@pytest.mark.parametrize("end", ["INT", "KILL"])
def test_a_reservation_ends_with_its_boot(lab: RealLab, templates: Path, machine: SetMemory, end: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    machine("ham0", 22)
    before = traces(lab, "ham0")
    with background(lab, "boot", "slow", "ham0:web", "--memory", "15G") as command:
        wait_for_gate(lab, "ham0")
        assert free(lab, "ham0") == 7
        send_signal(command, end)
        wait_until(lambda: free(lab, "ham0") == 22)
    wait_until(lambda: traces(lab, "ham0") == before)


def test_memory_that_is_gone_after_the_build_refuses_the_start(
    lab: RealLab, templates: Path, machine: SetMemory
) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    machine("ham0", 22)
    before = traces(lab, "ham0")
    with background(lab, "boot", "slow", "ham0:web", "--memory", "9G") as command:
        wait_for_gate(lab, "ham0")
        machine("ham0", 5)
        open_gate(lab, "ham0")
        out, err = command.communicate(timeout=30)
    fact = "cannot start the guest: not enough free memory: 9G requested, 5G free"
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: {fact}; stop a guest there, or boot on another node\n"
    assert traces(lab, "ham0") == before


def test_memory_that_a_guest_has_not_touched_yet_is_not_free(lab: RealLab, machine: SetMemory) -> None:
    run_guest(lab, "ham0", "big", 8192)
    machine("ham0", 10)
    assert 2 <= free(lab, "ham0") < 2.5


def test_the_claim_of_a_dead_boot_reserves_nothing(lab: RealLab, machine: SetMemory) -> None:
    machine("ham0", 22)
    sh(lab, "ham0", f"cd {IMAGES}; echo 1 {15 << 30} x >.mclu-a.building; mkfifo .mclu-b.building; cd /")
    assert free(lab, "ham0") == 22
    assert mclu(lab, "boot", "quick", "web", "--memory", "9G").out == "ham0:web running\n"
    assert states(lab, "ham0") == {"web": "running"}


def test_files_in_tmpfs_are_not_free(lab: RealLab) -> None:
    before = free(lab, "ham0")
    sh(lab, "ham0", "fallocate -l 3G /dev/shm/big")
    try:
        # Other programs on this machine take and return memory, too.
        assert 2 < before - free(lab, "ham0") < 4
    finally:
        sh(lab, "ham0", "rm /dev/shm/big")
