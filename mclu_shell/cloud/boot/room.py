"""The memory for a new guest, checked with the reservations of other boots: before its build and before its start."""

from collections.abc import Sequence

from mclu_shell.cloud.boot.placement import FreeMemory, NoRoom, choose_node
from mclu_shell.cloud.nodes.memory import Reservation, reserved_bytes
from mclu_shell.cloud.nodes.node import Node


class NodeFull(NoRoom):
    """Other boots have reserved the memory since the node was chosen, or guests have it."""

    code = "node-full"

    def __init__(self, room: FreeMemory, no_room: NoRoom) -> None:
        super().__init__(no_room.fact, place=no_room.place, remedy=no_room.remedy)
        self.room = room


class MemoryClaim:
    """The claim of one boot to memory of a node; the node holds it (`build_script.py`)."""

    def __init__(self, node: Node, memory_bytes: int) -> None:
        self._node = node
        self._memory_bytes = memory_bytes
        self._earlier: frozenset[str] = frozenset()

    def admit(self, reservations: Sequence[Reservation]) -> None:
        """Raise NodeFull if the reservations before this claim leave too little memory."""
        self._earlier = frozenset(each.uuid for each in reservations)
        self._require_room(reservations)

    def check_again(self, reservations: Sequence[Reservation]) -> None:
        """Raise NoRoom if the memory is gone by the end of the build; later claims have counted this one."""
        earlier = [each for each in reservations if each.uuid in self._earlier]
        try:
            self._require_room(earlier)
        except NodeFull as full:
            fact = f"cannot start the guest: {full.fact}"
            raise NoRoom(fact, place=self._node.name, remedy="stop a guest there, or boot on another node") from full

    def _require_room(self, reservations: Sequence[Reservation]) -> None:
        report = self._node.fetch_report()
        reserved = reserved_bytes(reservations, report)
        room = FreeMemory(self._node.name, max(0, report.room_bytes - reserved), reserved)
        try:
            choose_node([room], self._memory_bytes)
        except NoRoom as none:
            raise NodeFull(room, none) from none
