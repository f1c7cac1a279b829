import pytest

from mclu_shell.cloud.boot.placement import FreeMemory, choose
from mclu_shell.errors import MCluError, Refused

GIB = 1 << 30


def test_the_first_with_room_is_taken_not_the_emptiest() -> None:
    rooms = [FreeMemory("ham0", GIB - 1), FreeMemory("ham1", GIB), FreeMemory("ham2", 8 * GIB)]
    assert choose(rooms, GIB).node == "ham1"


def test_where_none_has_room_the_one_with_most_is_named() -> None:
    with pytest.raises(Refused) as refused:
        choose([FreeMemory("ham0", GIB), FreeMemory("ham1", 2 * GIB)], 4 * GIB)
    assert str(refused.value) == "no node has 4G of memory free; ham1 has most: 2G"


def test_a_node_that_was_named_says_what_it_has() -> None:
    with pytest.raises(Refused) as refused:
        choose([FreeMemory("ham0", GIB)], 4 * GIB)
    assert str(refused.value) == "ham0: 4G of memory wanted, 1G free"


def test_without_nodes_there_is_no_room() -> None:
    with pytest.raises(MCluError, match="no node is on"):
        choose([], GIB)
