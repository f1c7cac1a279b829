"""A test of KVM on a node: the emulator's firmware has to finish in reasonable time. Cached per node and boot."""

import json
import re
import secrets
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.disk_cache import cache_directory, replace_file

# Runs an emulator for some seconds at most, and reports its exit status and times. It writes no file. The end of its
# input (mclu has ended, or the connection) ends the emulator. The mark changes when the machine or the kvm module is
# started again, and with the emulator's file; where it is the known one, nothing runs.
# timeout(1) is the leader of its own process group, except in BusyBox, where it becomes the emulator.
_SCRIPT = r"""
exec 2>&1
word=$1 emulator=$2 known=$3 seconds=$4
shift 4
say() { printf '\n%s %s\n' "$word" "$*"; }
read -r boot_id </proc/sys/kernel/random/boot_id
mark="$boot_id $emulator $(stat -Lc '%i %Y' -- "$emulator" /dev/kvm 2>/dev/null | tr '\n' ' ')"
say mark "$mark"
[ "$mark" != "$known" ] || exit 0
command -v timeout >/dev/null || { say lacking timeout; exit 0; }
exec 3<&0
job=
stop() {
    trap '' TERM
    [ -z "$job" ] || kill -KILL -"$job" 2>/dev/null || kill -KILL "$job" 2>/dev/null
    exit 1
}
trap stop TERM HUP PIPE
( read -r _ <&3; kill -TERM $$ ) >/dev/null 2>&1 &
watcher=$!
trap 'kill $watcher 2>/dev/null' EXIT
read -r began _ </proc/uptime
timeout -s KILL "$seconds" "$emulator" "$@" </dev/null 3<&- &
job=$!
wait $job
status=$?
job=
read -r ended _ </proc/uptime
say ended $status $began $ended
"""
# SeaBIOS writes to port 0x402. With a reboot timeout it resets the machine when it finds no disk, which ends QEMU.
_FIRMWARE = (
    *("-m", "128", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-boot", "reboot-timeout=0"),
    *("-chardev", "stdio,id=debug,signal=off", "-device", "isa-debugcon,iobase=0x402,chardev=debug"),
)
# The CPUs are those that guests get (domainxml.py).
_KVM = ("-accel", "kvm", "-cpu", "host", *_FIRMWARE)
_TCG = ("-accel", "tcg", "-cpu", "max", *_FIRMWARE)
_FINISHED = "No bootable device"
# In seconds. A working KVM takes 0.1 to 0.3, TCG 0.1 to 0.5, the slow KVM of nested machines 9.5.
_QUICK_S = 1.0
_SLOW_S = 3.0
_LONGEST_S = 20.0
_GIVE_UP_S = 45.0
# How much longer than the emulator a run may take before its connection is closed.
_SPARE_S = 10.0
_SIGKILL, _SIGTERM, _TIMED_OUT = 128 + 9, 128 + 15, 124
# QEMU's errors that another user, or a later moment, may not meet. libvirt starts QEMU as a user of its own.
_NOT_KVMS_FAULT = ("Permission denied", "Device or resource busy", "Cannot allocate memory")
_OWN_WORDS = re.compile(r"\S*(?:qemu|kvm)\S*: (?!warning:)(?:error: |-accel kvm: )?(.+)")
_LONGEST_REASON = 200


class KVMStatus(Enum):
    """The result of a test of KVM."""

    WORKS = "works"
    TOO_SLOW = "too slow"
    FAILS = "does not work"
    UNTESTED = "could not be tested"


class KVMResult(NamedTuple):
    """The result of a test of KVM, and its reason."""

    status: KVMStatus
    reason: str


class _Run(NamedTuple):
    """One run of the emulator; `status` is None if it did not end, or was not started."""

    mark: str
    status: int | None
    seconds: float
    limit_s: float
    output: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """True if the firmware has run to its end."""
        return self.status == 0 and any(_FINISHED in line for line in self.output)

    @property
    def is_timeout(self) -> bool:
        return self.status in (_SIGKILL, _TIMED_OUT) and self.seconds >= self.limit_s - 0.1

    @property
    def is_killed(self) -> bool:
        return self.status in (_SIGKILL, _SIGTERM) and not self.is_timeout

    @property
    def reason(self) -> str:
        """QEMU's own words; the first are about the cause."""
        if self.status == 0:
            return "the guest was reset before its firmware had finished"
        own = [found[1] for line in self.output if (found := _OWN_WORDS.match(line))]
        others = [line.strip() for line in self.output if line.strip()]
        return (own or others[-1:] or [f"exit status {self.status}"])[0][:_LONGEST_REASON]


def probe_kvm(node: Node, emulator: str, arch: str) -> KVMResult:
    """Test KVM on a node, unless it was tested since the node has booted. Only x86 has a test."""
    if arch != "x86_64":
        return KVMResult(KVMStatus.WORKS, f"libvirt offers it; there is no test for {arch}")
    mark, cached = _load(_cache_file(node))
    run = _run(node, emulator, _KVM, _QUICK_S, mark)
    if cached and run.mark == mark:
        return cached
    result = _judge(node, emulator, run)
    if result.status != KVMStatus.UNTESTED and run.mark:
        _save(_cache_file(node), run.mark, result)
    return result


def _judge(node: Node, emulator: str, kvm: _Run) -> KVMResult:
    """Compare a run with KVM with runs of TCG before and after, to distinguish a busy node from a slow KVM."""
    until = time.monotonic() + _GIVE_UP_S
    while not kvm.is_finished:
        if kvm.status is None:
            return KVMResult(KVMStatus.UNTESTED, kvm.reason)
        if kvm.is_killed:
            return KVMResult(KVMStatus.UNTESTED, "the emulator was killed")
        if any(words in kvm.reason for words in _NOT_KVMS_FAULT):
            return KVMResult(KVMStatus.UNTESTED, kvm.reason)
        tcg = _run(node, emulator, _TCG, _LONGEST_S)
        if tcg.is_timeout:
            return KVMResult(KVMStatus.UNTESTED, f"the firmware takes over {_LONGEST_S:.0f} s without KVM, too")
        if not tcg.is_finished:
            return KVMResult(KVMStatus.UNTESTED, f"the firmware fails without KVM, too: {tcg.reason}")
        if not kvm.is_timeout:
            return KVMResult(KVMStatus.FAILS, kvm.reason)
        if kvm.limit_s >= _SLOW_S + 2 * tcg.seconds:
            times = f"over {kvm.limit_s:.1f} s with KVM, {tcg.seconds:.1f} s without"
            return KVMResult(KVMStatus.TOO_SLOW, f"the firmware takes {times}")
        if time.monotonic() > until:
            return KVMResult(KVMStatus.UNTESTED, "the node is too busy")
        kvm = _run(node, emulator, _KVM, min(_SLOW_S + 4 * tcg.seconds, _LONGEST_S))
    return KVMResult(KVMStatus.WORKS, f"the firmware takes {kvm.seconds:.1f} s")


def _run(node: Node, emulator: str, options: tuple[str, ...], limit_s: float, known: str = "") -> _Run:
    """Run the emulator on a node, for a limited time; nothing where the mark is the known one."""
    word = f"@{secrets.token_hex(8)}"
    argv = ["sh", "-c", _SCRIPT, "mclu-kvm", word, emulator, known, f"{limit_s:.2f}", *options]
    process = node.start_read_only(argv)
    mark, output = "", []
    try:
        with Deadline(time.monotonic() + limit_s + _SPARE_S, process.close):
            for line in process.lines():
                said, _, rest = line.removeprefix(f"{word} ").partition(" ")
                if not line.startswith(f"{word} "):
                    output.append(line)
                elif said == "mark":
                    mark = rest
                elif said == "lacking":
                    return _Run(mark, None, 0.0, limit_s, (f"there is no {rest} on the node",))
                else:
                    status, began, ended = rest.split()
                    return _Run(mark, int(status), float(ended) - float(began), limit_s, tuple(output))
    finally:
        process.close()
    return _Run(mark, None, 0.0, limit_s, (*output, "the test did not end"))


def _cache_file(node: Node) -> Path:
    return cache_directory() / f"kvm-{node.name}.json"


def _load(file: Path) -> tuple[str, KVMResult | None]:
    """Read the mark and the result of the last test; none if there is no such file."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return str(kept["mark"]), KVMResult(KVMStatus(kept["status"]), str(kept["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return "", None


def _save(file: Path, mark: str, result: KVMResult) -> None:
    """Keep a result; where that fails, the next boot tests again."""
    text = json.dumps({"mark": mark, "status": result.status.value, "reason": result.reason})
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, text)
