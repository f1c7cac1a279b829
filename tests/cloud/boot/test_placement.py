import pytest

from mclu_shell.cloud.boot.placement import FreeMemory, choose_node
from mclu_shell.errors import MCluError, Refused

GIB = 1 << 30


def test_the_first_node_with_enough_memory_is_chosen_not_the_emptiest() -> None:
    offers = [FreeMemory("ham0", GIB - 1), FreeMemory("ham1", GIB), FreeMemory("ham2", 8 * GIB)]
    assert choose_node(offers, GIB).node == "ham1"


def test_the_error_without_enough_memory_names_the_node_with_most() -> None:
    with pytest.raises(Refused) as refused:
        choose_node([FreeMemory("ham0", GIB), FreeMemory("ham1", 2 * GIB)], 4 * GIB)
    assert str(refused.value) == "no node has 4G of memory free; request at most 2G (free on ham1)"


def test_the_error_of_a_named_node_has_its_free_memory() -> None:
    with pytest.raises(Refused) as refused:
        choose_node([FreeMemory("ham0", GIB)], 4 * GIB)
    assert str(refused.value) == "ham0: not enough free memory: 4G requested, 1G free"


def test_a_placement_without_nodes_is_an_error() -> None:
    with pytest.raises(MCluError, match="no node is on"):
        choose_node([], GIB)
