"""The memory of a node, from the output of its command."""

import os
import subprocess
from pathlib import Path

import pytest

from mclu_shell.cloud.nodes.memory import MEMORY_SCRIPT, KernelMemory, Reservation, parse_memory, reserved_bytes
from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport

GIB = 1 << 30
AVAILABLE = "available 8388608\n"
ZFS = "zfs_c_min 1073741824\nzfs_size 3221225472\n"
# The size of a page in KiB, the pages of the pool, and those in use or promised.
HUGE = "huge 2048 1024 896\nhuge 1048576 2 1\n"


def memory(text: str) -> KernelMemory:
    """Parse an output that is not empty."""
    answer = parse_memory(text.splitlines())
    assert answer is not None
    return answer


def guest(uuid: str, gib: int, state: str = "running") -> Guest:
    """Return a guest with this memory."""
    return Guest("ham0", uuid, uuid, state, gib * GIB, 1)


def test_the_kernels_estimate_counts() -> None:
    assert memory(AVAILABLE) == KernelMemory(8 * GIB)


def test_the_command_reads_the_memory_of_this_machine_and_a_claim_that_is_held(tmp_path: Path) -> None:
    (tmp_path / ".mclu-old.building").write_text("1 2048 def\n")
    claim = tmp_path / ".mclu-web.building"
    hold = ["sh", "-c", 'exec 8>>"$1"; echo "$$ 1024 abc" >&8; echo held; read _', "hold", str(claim)]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        command = ["sh", "-c", MEMORY_SCRIPT, "mclu-memory", str(tmp_path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        holder.communicate("\n")
    answer = memory(output.stdout)
    assert 0 < answer.available_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert answer.reservations == (Reservation(1024, "abc"),)
    assert output.stderr == ""


def test_zfss_cache_gives_back_what_is_above_its_minimum() -> None:
    assert memory(AVAILABLE + ZFS).available_bytes == 10 * GIB


def test_huge_pages_of_all_sizes_are_a_pool_and_a_part_in_use() -> None:
    answer = memory(AVAILABLE + HUGE)
    assert (answer.huge_pool_bytes, answer.huge_used_bytes) == (4 * GIB, 896 * (2 << 20) + GIB)


def test_reservations_are_read_and_half_written_ones_are_not() -> None:
    text = f"{AVAILABLE}reserved 1024 abc\nreserved \nreserved 10\nreserved x abc\n"
    assert memory(text).reservations == (Reservation(1024, "abc"),)


@pytest.mark.parametrize("text", ["", "sh: not found", "available", "huge 2048 2 1"])
def test_without_the_kernels_estimate_there_is_no_answer(text: str) -> None:
    assert parse_memory(text.splitlines()) is None


def test_a_reservation_whose_guest_runs_is_not_counted_twice() -> None:
    report = NodeReport(NodeInfo(2, 16 * GIB, 8 * GIB), (guest("a", 2), guest("b", 4, "shut off")))
    assert reserved_bytes([Reservation(2, "a"), Reservation(4, "b"), Reservation(8, "c")], report) == 12


def test_free_memory_is_not_promised_reserved_or_huge() -> None:
    info = NodeInfo(2, 16 * GIB, 10 * GIB, promised_bytes=3 * GIB)
    report = NodeReport(info, (guest("a", 4),))
    assert report.free_bytes == 7 * GIB
    assert report._replace(info=info._replace(reserved_bytes=2 * GIB)).free_bytes == 5 * GIB
    assert report._replace(info=info._replace(reserved_bytes=8 * GIB)).free_bytes == 0
    assert report._replace(info=info._replace(huge_pool_bytes=8 * GIB)).free_bytes == 4 * GIB


def test_a_guest_on_huge_pages_takes_nothing_from_the_rest() -> None:
    info = NodeInfo(2, 16 * GIB, 8 * GIB, promised_bytes=8 * GIB, huge_pool_bytes=8 * GIB, huge_used_bytes=8 * GIB)
    assert NodeReport(info, (guest("a", 8),)).free_bytes == 8 * GIB
