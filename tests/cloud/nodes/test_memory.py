"""The memory of a node, from the output of its command."""

import pytest

from mclu_shell.cloud.nodes.memory import KernelMemory, Reservation, parse_memory, reserved_bytes
from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport

GIB = 1 << 30
MEMINFO = """\
/proc/meminfo:MemTotal:       16777216 kB
/proc/meminfo:MemFree:         1048576 kB
/proc/meminfo:MemAvailable:    8388608 kB
/proc/meminfo:Shmem:           3145728 kB
/proc/meminfo:HugePages_Total:       4
"""
ARCSTATS = """\
/proc/spl/kstat/zfs/arcstats:9 1 0x01 147 39984 8316216190 4391243284083
/proc/spl/kstat/zfs/arcstats:name                            type data
/proc/spl/kstat/zfs/arcstats:c_min                           4    1073741824
/proc/spl/kstat/zfs/arcstats:size                            4    3221225472
"""
_PAGES = "/sys/kernel/mm/hugepages/hugepages"
HUGE = f"""\
{_PAGES}-2048kB/free_hugepages:256
{_PAGES}-2048kB/nr_hugepages:1024
{_PAGES}-2048kB/resv_hugepages:128
{_PAGES}-1048576kB/free_hugepages:1
{_PAGES}-1048576kB/nr_hugepages:2
"""


def memory(text: str) -> KernelMemory:
    """Parse an output that is not empty."""
    answer = parse_memory(text.splitlines())
    assert answer is not None
    return answer


def guest(uuid: str, gib: int, state: str = "running") -> Guest:
    """Return a guest with this memory."""
    return Guest("ham0", uuid, uuid, state, gib * GIB, 1)


def test_the_kernels_estimate_counts() -> None:
    assert memory(MEMINFO) == KernelMemory(8 * GIB)


def test_zfss_cache_gives_back_what_is_above_its_minimum() -> None:
    assert memory(MEMINFO + ARCSTATS).available_bytes == 10 * GIB


def test_huge_pages_of_all_sizes_are_a_pool_and_a_part_in_use() -> None:
    answer = memory(MEMINFO + HUGE)
    assert (answer.huge_pool_bytes, answer.huge_used_bytes) == (4 * GIB, (2 << 30) - (512 << 20) + (256 << 20) + GIB)


def test_reservations_are_read_and_half_written_ones_are_not() -> None:
    text = f"{MEMINFO}reserved 1024 abc\nreserved \nreserved 10\nreserved x abc\n"
    assert memory(text).reservations == (Reservation(1024, "abc"),)


@pytest.mark.parametrize("text", ["", "sh: not found", "/proc/meminfo:MemFree: 5 kB"])
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
