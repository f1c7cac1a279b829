"""What even a dry run cannot know; whatever looks at nodes may meet it there, and nowhere else."""

from typing import TYPE_CHECKING

from mclu_shell.errors import NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.state.guest import Guest


class UnknownUntilUp(NodeFault):
    """What a node would have that is off now, and would be on: only a real run can tell; `guests` are all that can."""

    code = "not-known"
    status = 0
    power = "off"

    def __init__(self, node: str, guests: "tuple[Guest, ...]" = ()) -> None:
        super().__init__("what it has is not known before it is up", place=node)
        self.guests = guests
