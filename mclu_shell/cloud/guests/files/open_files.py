"""The files that processes on a node have open."""

import os
import re
from typing import NamedTuple

from mclu_shell.cloud.nodes.node import Node

_TIMEOUT_S = 60.0

# Prints device and inode of each open file and its name in /proc, or the loop device. Only root sees the files of other
# users' processes.
LIST_OPEN = r"""
    as=; [ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null || as='sudo -n'
    $as find /proc/[0-9]*/fd -mindepth 1 -maxdepth 1 -exec stat -L -c '%d:%i %n' -- {} + 2>/dev/null
    for loop in /sys/block/loop*/loop/backing_file; do
        [ ! -f "$loop" ] || stat -c "%d:%i $loop" -- "$(cat "$loop")"
    done 2>/dev/null
"""
_OPEN = re.compile(r"(\d+:\d+) /(?:proc/(\d+)/fd/\d+|sys/block/([^/]+)/.*)")
# QEMU locks its images, also in other containers, whose processes /proc does not show.
_LOCK = re.compile(r"\d+: \S+ +\S+ +\S+ +\S+ +([0-9a-f]+:[0-9a-f]+:\d+) .*")


class OpenFiles(NamedTuple):
    """The users of open files by device and inode, and the locked files in the notation of /proc/locks."""

    users: dict[str, str]
    locks: frozenset[str]

    def describe(self, key: str) -> str:
        """Return what has a file open; empty if nothing has."""
        return self.users.get(key) or ("locked by another process" if lock_id(key).strip() in self.locks else "")


def fetch_open_files(node: Node) -> OpenFiles:
    """Return the files that are open on a node; the processes of guests have theirs open, too."""
    output = node.run_read_only(["sh", "-c", f"{LIST_OPEN}\ncat /proc/locks"], _TIMEOUT_S).out
    lines = output.splitlines()
    opened = [match for line in lines if (match := _OPEN.fullmatch(line))]
    locks = [match[1] for line in lines if (match := _LOCK.fullmatch(line))]
    return OpenFiles({match[1]: _user(match) for match in opened}, frozenset(locks))


def _user(match: re.Match[str]) -> str:
    return f"open in process {match[2]}" if match[2] else f"open as /dev/{match[3]}"


def lock_id(key: str) -> str:
    """Return device and inode in the notation of /proc/locks (fs/locks.c), after a space; "-" for other keys."""
    device, _, inode = key.partition(":")
    if not inode:
        return "-"
    return f" {os.major(int(device)):02x}:{os.minor(int(device)):02x}:{inode}"
