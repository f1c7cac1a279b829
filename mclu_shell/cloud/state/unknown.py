"""The fault for state that a dry run cannot know; only a dry run raises it."""

from typing import TYPE_CHECKING

from mclu_shell.errors import NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.state.guest import Guest


class UnknownUntilUp(NodeFault):
    """The node is off, but would be on at this point of a real run; `guests` are those of earlier lines."""

    code = "not-known"
    status = 0
    power = "off"

    def __init__(self, node: str, guests: "tuple[Guest, ...]" = ()) -> None:
        super().__init__("its guests are unknown until it is up", place=node)
        self.guests = guests
