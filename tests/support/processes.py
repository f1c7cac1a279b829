"""Processes and descriptors, as /proc shows them."""

import os
from pathlib import Path


def count_descriptors() -> int:
    """Return the number of open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie."""
    try:
        # proc(5): the state follows the name, which may contain blanks and parentheses.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
