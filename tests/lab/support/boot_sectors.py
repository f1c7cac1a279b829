"""Boot sectors that panic, suspend or fill their disk: states that a distribution reaches slowly."""

import base64

from tests.lab.support.cli import virsh, wait_until
from tests.lab.support.guests import sh
from tests.lab.support.lab import RealLab

# mov dx,0x505; mov al,1; out dx,al; cli; 1: hlt; jmp 1b      (pvpanic, QEMU's docs/specs/pvpanic.rst)
PANIC = bytes.fromhex("ba0505b001eefaf4ebfd")
# mov dx,0x604; mov ax,0x2400; out dx,ax; cli; 1: hlt; jmp 1b (ACPI's sleep state S3)
SLEEP = bytes.fromhex("ba0406b80024effaf4ebfd")
# mov al,0x7e; out 0x70,al; in al,0x71; cmp al,0x5a; je 2f                    (a byte of the CMOS survives S3 and reset)
# mov al,0x7e; out 0x70,al; mov al,0x5a; out 0x71,al; then SLEEP; 2: cli; 1: hlt; jmp 1b
SLEEP_ONCE = bytes.fromhex("b07ee670e4713c5a740fb07ee670b05ae671" + "ba0406b80024ef" + "faf4ebfd")
# cli; 1: hlt; jmp 1b
IDLE = bytes.fromhex("faf4ebfd")
# xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00
# 1: mov si,packet; mov ax,0x4300; mov dl,0x80; int 0x13; add word [packet+8],64; jmp 1b
# packet: 64 sectors from f000:0000 to sector 64 and on (the BIOS's extended write)
FILL = bytes.fromhex(
    "31c08ed88ed0bc007cbe1a7cb80043b280cd138306227c40ebef"  # The code.
    "100040000000" + "00f0" + "4000000000000000"  # The packet.
)
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/></features><on_crash>{on_crash}</on_crash>
  <pm><suspend-to-mem enabled='yes'/></pm>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{file}'/><target dev='{target}' bus='{bus}'/>
    </disk>
    <serial type='pty'><target port='0'/></serial>
    {devices}
  </devices>
</domain>
"""
PVPANIC = "<panic model='isa'/>"


def define_sector(
    lab: RealLab,
    node: str,
    name: str,
    code: bytes,
    *,
    devices: str = "",
    machine: str = "q35",
    on_crash: str = "preserve",
    directory: str = "/tmp",
) -> None:
    """Define a guest that runs a boot sector from a sparse disk of 64 MiB."""
    file = f"{directory}/{name}.img"
    sector = base64.b64encode(code.ljust(510, b"\0") + b"\x55\xaa").decode()
    lab.run("sh", "-c", 'base64 -d >"$0" && truncate -s 64M "$0"', file, node=node, input=sector)
    target, bus = ("sda", "sata") if machine == "q35" else ("hda", "ide")
    xml = _DOMAIN.format(
        name=name, machine=machine, on_crash=on_crash, file=file, target=target, bus=bus, devices=devices
    )
    lab.run("tee", f"/tmp/{name}.xml", node=node, input=xml)
    virsh(lab, node, "define", f"/tmp/{name}.xml")


def run_sector(lab: RealLab, node: str, name: str, code: bytes, state: str, **options: str) -> None:
    """Define and start a guest that runs a boot sector, and wait until virsh shows this state and reason."""
    define_sector(lab, node, name, code, **options)
    virsh(lab, node, "start", name)
    wait_for_state(lab, node, name, state)


def wait_for_state(lab: RealLab, node: str, name: str, state: str) -> None:
    """Wait until virsh shows a guest's state and the reason for it."""
    wait_until(lambda: virsh(lab, node, "domstate", name, "--reason").strip() == state)


def run_panicked(lab: RealLab, node: str, name: str) -> None:
    """Start a guest that crashes and is preserved."""
    run_sector(lab, node, name, PANIC, "crashed (panicked)", devices=PVPANIC)


def run_suspended(lab: RealLab, node: str, name: str, code: bytes = SLEEP) -> None:
    """Start a guest that suspends to memory, with SLEEP each time that it is woken."""
    run_sector(lab, node, name, code, "pmsuspended (unknown)")


def run_full(lab: RealLab, node: str, name: str, directory: str) -> None:
    """Start a guest that fills the file system of its disk, and pauses at the error."""
    sh(lab, node, f"mkdir -p {directory}; mountpoint -q {directory} || mount -t tmpfs -o size=1M none {directory}")
    run_sector(lab, node, name, FILL, "paused (I/O error)", machine="pc", directory=directory)
