"""A test of KVM on a node: its emulator's firmware must finish in reasonable time. Cached per node and boot."""

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
from mclu_shell.cloud.state.disk_cache import cache_directory
from mclu_shell.cloud.transport.output import limited_lines
from mclu_shell.files.private import replace_file
from mclu_shell.files.trust import read_own_file
from mclu_shell.parsing.json_text import parse_json
from mclu_shell.parsing.limits import InvalidData

# Runs an emulator with a time limit, and reports its exit status and times. It writes no file. The end of its input
# (mclu or the connection has ended) ends the emulator. The key changes when the node boots, the kvm module is loaded
# again, or the emulator's file changes. If it equals the cached key, nothing runs.
# timeout(1) leads its own process group, except in BusyBox, where it replaces itself with the emulator.
_SCRIPT = r"""
exec 2>&1
marker=$1 emulator=$2 cached=$3 seconds=$4
shift 4
report() { printf '\n%s %s\n' "$marker" "$*"; }
read -r boot_id </proc/sys/kernel/random/boot_id
key="$boot_id $emulator $(stat -Lc '%i %Y' -- "$emulator" /dev/kvm 2>/dev/null | tr '\n' ' ')"
report key "$key"
[ "$key" != "$cached" ] || exit 0
command -v timeout >/dev/null || { report missing timeout; exit 0; }
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
read -r start _ </proc/uptime
timeout -s KILL "$seconds" "$emulator" "$@" </dev/null 3<&- &
job=$!
wait $job
status=$?
job=
read -r end _ </proc/uptime
report ended $status $start $end
"""
# SeaBIOS writes to port 0x402. With a reboot timeout it resets the machine when it finds no disk, which ends QEMU.
_FIRMWARE = (
    *("-m", "128", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-boot", "reboot-timeout=0"),
    *("-chardev", "stdio,id=debug,signal=off", "-device", "isa-debugcon,iobase=0x402,chardev=debug"),
)
# Guests get the same CPUs (hypervisor/domain_xml.py).
_KVM = ("-accel", "kvm", "-cpu", "host", *_FIRMWARE)
_TCG = ("-accel", "tcg", "-cpu", "max", *_FIRMWARE)
_FINISHED = "No bootable device"
# In seconds. A working KVM takes 0.1 to 0.3, TCG 0.1 to 0.5, the slow KVM of nested machines 9.5.
_QUICK_S = 1.0
_SLOW_S = 3.0
_LONGEST_S = 20.0
_GIVE_UP_S = 45.0
# A run that takes this much longer than its time limit is closed.
_SPARE_S = 10.0
_SIGKILL, _SIGTERM, _TIMED_OUT = 128 + 9, 128 + 15, 124
# Errors of QEMU that may depend on the user or pass soon. libvirt starts QEMU as another user.
_OTHER_CAUSES = ("Permission denied", "Device or resource busy", "Cannot allocate memory")
_ENDED = re.compile(r"(\d{1,3}) (\d{1,12}(?:\.\d{1,12})?) (\d{1,12}(?:\.\d{1,12})?)", re.ASCII)
_QEMU_ERROR = re.compile(r"\S*(?:qemu|kvm)\S*: (?!warning:)(?:error: |-accel kvm: )?(.+)")
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
    """One run of the emulator; `status` is None if it was not started or did not end."""

    key: str
    status: int | None
    seconds: float
    limit_s: float
    output: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """The firmware has run to its end."""
        return self.status == 0 and any(_FINISHED in line for line in self.output)

    @property
    def is_timeout(self) -> bool:
        return self.status in (_SIGKILL, _TIMED_OUT) and self.seconds >= self.limit_s - 0.1

    @property
    def is_killed(self) -> bool:
        return self.status in (_SIGKILL, _SIGTERM) and not self.is_timeout

    @property
    def reason(self) -> str:
        """QEMU's first error, which names the cause; else the last line of output, or the exit status."""
        if self.status == 0:
            return "the guest was reset before its firmware had finished"
        errors = [match[1] for line in self.output if (match := _QEMU_ERROR.match(line))]
        lines = [line.strip() for line in self.output if line.strip()]
        return (errors or lines[-1:] or [f"exit status {self.status}"])[0][:_LONGEST_REASON]


def probe_kvm(node: Node, emulator: str, arch: str) -> KVMResult:
    """Test KVM on a node, or return the cached result of a test since the node booted. Only x86 has a test."""
    if arch != "x86_64":
        return KVMResult(KVMStatus.WORKS, f"libvirt offers it; there is no test for {arch}")
    key, cached = _load(_cache_file(node))
    run = _run(node, emulator, _KVM, _QUICK_S, key)
    if cached and run.key == key:
        return cached
    result = _judge(node, emulator, run)
    if result.status != KVMStatus.UNTESTED and run.key:
        _save(_cache_file(node), run.key, result)
    return result


def _judge(node: Node, emulator: str, kvm: _Run) -> KVMResult:
    """Alternate runs with TCG and with KVM, to distinguish a slow KVM from a busy node."""
    deadline = time.monotonic() + _GIVE_UP_S
    while not (kvm.is_finished and kvm.seconds <= _QUICK_S):
        if reason := _other_cause(kvm):
            return KVMResult(KVMStatus.UNTESTED, reason)
        tcg = _run(node, emulator, _TCG, _LONGEST_S)
        if not tcg.is_finished:
            return KVMResult(KVMStatus.UNTESTED, _tcg_reason(tcg))
        if not kvm.is_finished and not kvm.is_timeout:
            return KVMResult(KVMStatus.FAILS, kvm.reason)
        reasonable_s = _SLOW_S + 2 * tcg.seconds
        if kvm.is_finished and kvm.seconds < reasonable_s:
            break
        if kvm.is_timeout and kvm.limit_s >= reasonable_s:
            times = f"over {kvm.limit_s:.1f} s with KVM, {tcg.seconds:.1f} s without"
            return KVMResult(KVMStatus.TOO_SLOW, f"the firmware takes {times}")
        if time.monotonic() > deadline:
            return KVMResult(KVMStatus.UNTESTED, "the node is too busy")
        # The TCG run that set the limit of a slow run may have met a busy node: only a run with a newer limit counts.
        kvm = _run(node, emulator, _KVM, min(_SLOW_S + 4 * tcg.seconds, _LONGEST_S))
    return KVMResult(KVMStatus.WORKS, f"the firmware takes {kvm.seconds:.1f} s")


def _other_cause(kvm: _Run) -> str:
    """Return why a run with KVM says nothing about KVM; an empty string if it does."""
    if kvm.is_finished or kvm.is_timeout:
        return ""
    if kvm.is_killed:
        return "the emulator was killed"
    is_other = kvm.status is None or any(message in kvm.reason for message in _OTHER_CAUSES)
    return kvm.reason if is_other else ""


def _tcg_reason(tcg: _Run) -> str:
    if tcg.is_timeout:
        return f"the firmware takes over {_LONGEST_S:.0f} s without KVM, too"
    return f"the firmware fails without KVM, too: {tcg.reason}"


def _run(node: Node, emulator: str, options: tuple[str, ...], limit_s: float, cached_key: str = "") -> _Run:
    """Run the emulator on a node with a time limit; run nothing if the cached key is still valid."""
    marker = f"@{secrets.token_hex(8)}"
    argv = ["sh", "-c", _SCRIPT, "mclu-kvm", marker, emulator, cached_key, f"{limit_s:.2f}", *options]
    process = node.start_read_only(argv)
    key, output = "", []
    try:
        with Deadline(time.monotonic() + limit_s + _SPARE_S, process.close):
            for line in limited_lines(node.name, process.lines(), "the KVM test"):
                event, _, detail = line.removeprefix(f"{marker} ").partition(" ")
                if not line.startswith(f"{marker} "):
                    output.append(line)
                elif event == "key":
                    key = detail
                elif event == "missing":
                    return _Run(key, None, 0.0, limit_s, (f"the node has no {detail}",))
                else:
                    status, duration_s, fault = parse_end(detail)
                    return _Run(key, status, duration_s, limit_s, (*output, *fault))
    finally:
        process.close()
    return _Run(key, None, 0.0, limit_s, (*output, "the test did not end"))


def parse_end(detail: str) -> tuple[int | None, float, tuple[str, ...]]:
    """Return the exit status of an emulator and the seconds that it took, or the reason why these are unknown."""
    if (match := _ENDED.fullmatch(detail)) is None:
        return None, 0.0, (f"unexpected result {detail[:40]!r}",)
    return int(match[1]), float(match[3]) - float(match[2]), ()


def _cache_file(node: Node) -> Path:
    return cache_directory() / f"kvm-{node.name}.json"


def _load(file: Path) -> tuple[str, KVMResult | None]:
    """Return the key and the result of the last test; an empty key and None if there is no valid file."""
    try:
        return read_result(read_own_file(file))
    except (OSError, InvalidData):
        return "", None


def read_result(text: str | bytes) -> tuple[str, KVMResult]:
    """Return the key and the result in the text of a cache; raise InvalidData."""
    record = parse_json(text)
    try:
        return str(record["key"]), KVMResult(KVMStatus(record["status"]), str(record["reason"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidData(f"not a result of the KVM test ({error!r})") from None


def _save(file: Path, key: str, result: KVMResult) -> None:
    """Save a result; if that fails, the next boot tests again."""
    text = json.dumps({"key": key, "status": result.status.value, "reason": result.reason})
    with suppress(OSError):
        replace_file(file, text.encode())
