"""The user's replies to login prompts, kept in memory for the nodes of one cloud."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Credentials:
    """Unlocked keys by file, and passwords by user, host and port.

    The keys are paramiko's; this module does not import it, because a cloud whose nodes are all off needs no paramiko.
    """

    # Not a dataclass: dataclasses would take 5 ms of every start to import.
    def __init__(self) -> None:
        self.keys: dict[Path, Any] = {}
        self.passwords: dict[tuple[str, str, int], str] = {}
