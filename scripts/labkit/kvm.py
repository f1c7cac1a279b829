"""KVM in a lab: a test, and its removal if it cannot be used."""

import fcntl
import os
import subprocess
import time
from pathlib import Path

from labkit import syscalls

DEVICE = Path("/dev/kvm")
EMULATOR = f"qemu-system-{os.uname().machine}"
# SeaBIOS writes to port 0x402. With a reboot timeout it resets the machine when it finds no disk, which ends QEMU.
FIRMWARE = (
    *("-m", "128", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-boot", "reboot-timeout=0"),
    *("-chardev", "stdio,id=debug,signal=off", "-device", "isa-debugcon,iobase=0x402,chardev=debug"),
)
KVM = ("-accel", "kvm", "-cpu", "host", *FIRMWARE)
TCG = ("-accel", "tcg", "-cpu", "max", *FIRMWARE)
# In seconds. A working KVM takes 0.1 to 0.3, TCG 0.1 to 0.5, the slow KVM of nested machines 9.5.
QUICK, SLOW, LONGEST = 1.0, 3.0, 20.0


def hide(directory: Path) -> None:
    """Mount a read-only file over the device.

    With /dev/null instead, libvirtd considers KVM usable and starts QEMU for each query about it.
    """
    if DEVICE.exists():
        file = directory / "no-kvm"
        file.touch()
        syscalls.bind_read_only(file, DEVICE)


def is_usable(directory: Path) -> bool:
    """Return whether guests can use KVM; cache a slow result in a directory until the machine reboots."""
    if not DEVICE.exists():
        return False
    if os.uname().machine != "x86_64":
        return os.access(DEVICE, os.R_OK | os.W_OK)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    mark = f"{boot_id} {DEVICE.stat().st_mtime} slow"
    with (directory / ".kvm").open("a+") as file:
        # Labs that start at once test one after another.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if file.read() == mark:
            return False
        result = _test()
        if result == "slow":
            file.truncate(0)
            file.write(mark)
    return result == "works"


def _test() -> str:
    """Return "works", "slow", or "fails". Runs of TCG before and after distinguish a busy machine from a slow KVM."""
    limit = QUICK
    until = time.monotonic() + 2 * LONGEST
    while time.monotonic() < until:
        result, with_kvm = _run(KVM, limit)
        if result == "fails" or (result == "works" and with_kvm <= QUICK):
            return result
        tcg_result, without_kvm = _run(TCG, LONGEST)
        if tcg_result != "works":
            break
        if result == "works" and with_kvm < SLOW + 2 * without_kvm:
            return result
        if result == "timeout" and limit >= SLOW + 2 * without_kvm:
            return "slow"
        limit = min(SLOW + 4 * without_kvm, LONGEST)
    return "fails"


def _run(options: tuple[str, ...], limit: float) -> tuple[str, float]:
    """Return "works", "fails" or "timeout", and the seconds that the firmware took."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [EMULATOR, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return "timeout", limit
    is_finished = done.returncode == 0 and b"No bootable device" in done.stdout
    return "works" if is_finished else "fails", time.monotonic() - began
