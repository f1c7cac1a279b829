"""The user's replies to login prompts, kept in memory for the nodes of one cloud."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Credentials:
    """Unlocked keys by file, and passwords by account.

    The keys are paramiko's; this module does not import it, because a cloud whose nodes are all off needs no paramiko.
    """

    keys: dict[Path, Any] = field(default_factory=dict)
    passwords: dict[tuple[str, str, int], str] = field(default_factory=dict)
