"""The files that processes on a node have open."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from mclu_shell.cloud.guests.files.node_lock import READ
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.parsing.limits import is_count

_TIMEOUT_S = 60.0

# Prints a file and its user in each line: device and inode as stat or as /proc/locks shows them; a name in /proc, a
# device, or a reason. Only root sees the files of other users' processes.
# * A process that has mapped a file may have closed it. stat does not follow map_files in containers, where only maps
#   shows the file; on Btrfs and overlays it has another device than stat. One mapping of each file is enough.
# * A loop device knows its file also if that is in another mount namespace; its partitions have the file's path, too.
# * The kernel serves the other files without a process that has them open; nbd-server opens its only for a client.
LIST_OPEN = r"""
    as=; [ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null || as='sudo -n'
    tab=$(printf '\t')
    $as find /proc/[0-9]*/fd -mindepth 1 -maxdepth 1 -exec stat -L -c '%d:%i %n' -- {} + 2>/dev/null
    $as grep -s '' /proc/[0-9]*/maps |
        sed -n "s|^/proc/\([0-9]*\)/maps:0*\([0-9a-f]*\)-0*\([0-9a-f]*\) [^ ]* [^ ]* \([^ ]*\) \([1-9][0-9]*\) .*|\
\4:\5$tab/proc/\1/map_files/\2-\3|p" | sort -u -t "$tab" -k 1,1 | {
            set --
            while IFS=$tab read -r file mapping; do
                echo "$file $mapping"
                set -- "$@" "$mapping"
            done
            [ $# = 0 ] || $as stat -L -c '%d:%i %n' -- "$@" 2>/dev/null
        }
    show() { [ ! -f "$1" ] || stat -L -c "%d:%i $2" -- "$1" 2>/dev/null; }
    for loop in /sys/block/loop*/loop/backing_file; do
        device=${loop#/sys/block/}
        [ ! -f "$loop" ] || show "$(cat "$loop")" "open as /dev/${device%%/*}"
    done 2>/dev/null
    $as losetup -n -O BACK-INO,BACK-MAJ:MIN,NAME 2>/dev/null | while read -r inode device loop; do
        printf '%02x:%02x:%s open as %s\n' "${device%:*}" "${device#*:}" "$inode" "$loop"
    done 2>/dev/null
    sed -n 's/ *file[[:space:]]*[0-9].*//p' /proc/swaps 2>/dev/null | while IFS= read -r name; do
        show "$(printf %b "$(printf %s "$name" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")" "open as swap space"
    done
    sed 's/.* - [^ ]* \([^ ]*\) .*/\1/; s/\\\([0-7][0-7][0-7]\)/\\0\1/g' /proc/self/mountinfo | grep ^/ | sort -u |
        while IFS= read -r name; do show "$(printf %b "$name")" "open as a file system"; done
    for target in target/core/fileio_*/*/udev_path nvmet/subsystems/*/namespaces/*/device_path \
        usb_gadget/*/functions/mass_storage.*/lun.*/file; do
        target=/sys/kernel/config/$target
        [ ! -f "$target" ] || show "$(cat "$target")" "open as a block device for other machines"
    done 2>/dev/null
    sed -n 's/^[[:space:]]*exportname[[:space:]]*=[[:space:]]*//p' /etc/nbd-server/config /etc/nbd-server/conf.d/* \
        2>/dev/null | while IFS= read -r name; do show "$name" "exported by nbd-server"; done
"""
_OPEN = re.compile(
    r"(\d{1,18}:\d{1,20}|[0-9a-f]{1,8}:[0-9a-f]{1,8}:\d{1,20}) (?:/proc/(\d+)/\S+|(open .*|exported .*))"
)
# Prints the option -uuid of libvirt's QEMU processes, and its value in the next line: "/proc/1/cmdline-…".
_LIST_GUESTS = r"$as grep -sazHxA1 -e -uuid /proc/[0-9]*/cmdline | tr '\0' '\n'"
_GUEST = re.compile(r"/proc/(\d+)/cmdline-([0-9a-f-]{36})")
# QEMU locks its images, also in other containers, whose processes /proc does not show.
_LOCK = re.compile(r"\d+: \S+ +\S+ +\S+ +\S+ +([0-9a-f]+:[0-9a-f]+:\d+) .*")


class FileUser(NamedTuple):
    """A process or device that has a file open; `guest` is the UUID of the guest whose QEMU the process is."""

    description: str
    guest: str = ""


# /proc/locks does not show the process of an open file description lock, as QEMU takes them.
LOCKED = FileUser("locked by another process")


class OpenFiles(NamedTuple):
    """The users of open files, and the locked files in the notation of /proc/locks.

    Files are given by device and inode, the users' in either notation.
    """

    users: dict[str, list[FileUser]]
    locks: frozenset[str]

    def find_users(self, key: str) -> list[FileUser]:
        """Return what has a file open."""
        lock = lock_id(key).strip()
        users = [*self.users.get(key, ()), *self.users.get(lock, ())]
        return users or ([LOCKED] if lock in self.locks else [])


def fetch_open_files(node: Node) -> OpenFiles:
    """Return the files that are open on a node; the processes of guests have theirs open, too."""
    script = f"{READ}{LIST_OPEN}\n{_LIST_GUESTS}\ncat /proc/locks"
    return parse_open_files(node.run_read_only(["sh", "-c", script], _TIMEOUT_S).out)


def parse_open_files(out: str) -> OpenFiles:
    """Read the output of the list; lines that are not of its form are ignored."""
    lines = out.splitlines()
    guests = {match[1]: match[2] for line in lines if (match := _GUEST.fullmatch(line))}
    users: dict[str, list[FileUser]] = {}
    for line in lines:
        if match := _OPEN.fullmatch(line):
            users.setdefault(match[1], []).append(_user(match, guests))
    return OpenFiles(users, frozenset(match[1] for line in lines if (match := _LOCK.fullmatch(line))))


def _user(match: re.Match[str], guests: Mapping[str, str]) -> FileUser:
    return FileUser(f"open in process {match[2]}", guests.get(match[2], "")) if match[2] else FileUser(match[3])


def lock_id(key: str) -> str:
    """Return device and inode in the notation of /proc/locks (fs/locks.c), after a space; "-" for other keys."""
    device, _, inode = key.partition(":")
    if not is_count(device) or not inode:
        return "-"
    return f" {os.major(int(device)):02x}:{os.minor(int(device)):02x}:{inode}"
