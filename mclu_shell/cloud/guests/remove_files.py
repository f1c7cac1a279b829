"""Deletion of the files of stopped guests, after a last check on the node."""

from collections.abc import Sequence
from typing import NamedTuple

from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
from mclu_shell.cloud.guests.files.node_lock import DELETE
from mclu_shell.cloud.guests.files.open_files import LIST_OPEN, lock_id
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

_TIMEOUT_S = 120.0

# The arguments are five for each file: the number of its guest; its device and inode, or "link"; the same as in
# /proc/locks; "shared" if other machines may use it; its path. No file of a guest is deleted if one of them has
# been replaced, or is open in another process: that may need the others. QEMU locks its images, so that /proc/locks has
# those of processes in other containers, too, and the lock of a guest on another machine fails qemu-io.
# Prints a line for each file: "deleted", "gone" (deleted elsewhere), "kept" or "failed", with details.
_SCRIPT = (
    f"{DELETE}opened=$({LIST_OPEN})"
    + r"""
export LC_ALL=C
locks=$(cat /proc/locks)
newline='
'
describe() {
    case $1 in
        /proc/*) process=${1#/proc/}; process=${process%%/*}
            echo "open in process $process ($(cat "/proc/$process/comm" 2>/dev/null))" ;;
        *) echo "$1" ;;
    esac
}
check() {
    if [ "$1" = link ]; then
        [ -L "$4" ] || { [ -e "$4" ] && echo "changed since the check" || echo gone; }
        return
    fi
    now=$(stat -c %d:%i -- "$4" 2>/dev/null) || { [ -e "$4" ] && echo "not accessible" || echo gone; return; }
    [ "$now" = "$1" ] || { echo "changed since the check"; return; }
    for key in "$1" "${2# }"; do
        case $newline$opened in
            *"$newline$key "*)
                rest=${newline}${opened}; rest=${rest#*"$newline$key "}
                describe "${rest%%"$newline"*}"
                return ;;
        esac
    done
    case $locks in
        *"$2 "*) echo "locked by another process"; return ;;
    esac
    [ "$3" != shared ] || [ ! -s "$4" ] || qemu-io -f raw -c quit -- "$4" >/dev/null 2>&1 || echo "locked elsewhere"
}
bad=" "
count=$(($# / 5))
while [ "$count" -gt 0 ]; do
    why=$(check "$2" "$3" "$4" "$5")
    case $why in '' | gone) ;; *) bad="$bad$1 " ;; esac
    set -- "$@" "$1" "$5" "$why"
    shift 5
    count=$((count - 1))
done
while [ $# -gt 0 ]; do
    case $bad$3 in
        *" $1 "*gone) echo gone ;;
        *" $1 "*) [ -n "$3" ] && echo "kept $3" || echo "kept" ;;
        # The login may be unable to see the file.
        *) error=$(rm -f -- "$2" 2>&1) && echo "${3:-deleted}" ||
            printf 'failed %s\n' "$(printf %s "$error" | tail -n 1)" ;;
    esac
    shift 3
done
"""
)


class Removal(NamedTuple):
    """The files of a guest that were kept after all, with the reasons, and the first error of rm; empty if none.

    `gone` are the files that did not exist any more.
    """

    kept: dict[str, str]
    error: str
    gone: tuple[str, ...] = ()


def remove_files(node: Node, plans: Sequence[DestroyPlan]) -> list[Removal]:
    """Delete the files of several plans in one call; return what became of each plan."""
    words = [word for number, plan in enumerate(plans) for word in _words(number, plan)]
    if not words:
        return [Removal({}, "") for _ in plans]
    done = node.run(["sh", "-c", _SCRIPT, "mclu-remove", *words], _TIMEOUT_S)
    lines = done.out.removesuffix("\n").split("\n")
    if len(lines) != len(words) // 5:
        reason = (done.err.strip().splitlines() or ["incomplete output"])[-1]
        raise MCluError(f"cannot delete files: {reason}", place=node.name)
    results = iter(lines)
    return [_removal(plan, [next(results) for _ in plan.delete]) for plan in plans]


def _words(number: int, plan: DestroyPlan) -> list[str]:
    return [
        word
        for (file, _), key in zip(plan.delete, plan.keys, strict=True)
        for word in (str(number), key, lock_id(key), "shared" if file in plan.shared else "", file)
    ]


def _removal(plan: DestroyPlan, lines: Sequence[str]) -> Removal:
    kept: dict[str, str] = {}
    errors: list[str] = []
    causes = [file for (file, _), line in zip(plan.delete, lines, strict=True) if line.startswith("kept ")]
    for (file, _), line in zip(plan.delete, lines, strict=True):
        word, _, detail = line.partition(" ")
        if word == "kept":
            kept[file] = detail or f"as {causes[0]}, which is in use"
        elif word == "failed" and file != plan.nvram:
            errors.append(detail)
    gone = tuple(file for (file, _), line in zip(plan.delete, lines, strict=True) if line == "gone")
    return Removal(kept, errors[0] if errors else "", gone)
