"""A guest that starts at once and needs no system: a boot sector that echoes its serial console."""

import base64
from dataclasses import dataclass

from tests.lab.support.cli import virsh
from tests.lab.support.lab import RealLab

POWER_OFF, FLOOD = "\x04", "\x06"

# Printed at the start and after each Enter.
PROMPT = "login: "
#         xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00
#         mov dx,0x3fa; mov al,1; out dx,al; sti           ; the UART's queue (16550)
# prompt: mov si,text
# 1:      lodsb; test al,al; jz poll; call put; jmp 1b
# poll:   mov cx,20000
# 2:      mov dx,0x3fd; in al,dx; test al,1; jnz got; loop 2b
#         hlt; jmp poll                                    ; until the timer ticks, to leave the processor to others
# got:    mov dx,0x3f8; in al,dx
#         cmp al,4; je off; cmp al,6; je flood
#         call put; cmp al,13; je prompt; jmp poll
# flood:  mov al,'.'; call put; mov dx,0x3fd; in al,dx; test al,1; jz flood; jmp got
# off:    mov dx,0x604; mov ax,0x2000; out dx,ax; hlt      ; ACPI's power button
# put:    push ax
# 3:      mov dx,0x3fd; in al,dx; test al,0x20; jz 3b
#         pop ax; mov dx,0x3f8; out dx,al; ret
# text:   db 13, 10, "login: ", 0
_CODE = (
    bytes.fromhex(
        "31c08ed88ed0bc007cbafa03b001eefbbe687cac84c07405e83e00ebf6b9204ebafd03eca8017505e2f6f4ebf0baf803ec3c04741c3c067409"
        "e81d003c0d74d0ebdbb02ee81200bafd03eca80174f3ebdcba0406b80020eff450bafd03eca82074f858baf803eec30d0a"
    )
    + b"login: \0"
)
_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"
_FILE = "/tmp/{name}.img"
_SERIAL = "<serial type='pty'><target port='0'/></serial>"
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{file}'/><target dev='hda' bus='ide'/>
    </disk>
    {devices}
  </devices>
</domain>
"""


@dataclass(frozen=True)
class EchoGuest:
    """An echo guest on a node."""

    lab: RealLab
    node: str
    name: str

    def virsh(self, verb: str, *words: str) -> str:
        """Run a virsh command for the guest on its node."""
        return virsh(self.lab, self.node, verb, self.name, *words)


def start_echo_guest(lab: RealLab, node: str, name: str, devices: str = _SERIAL) -> EchoGuest:
    """Start a transient echo guest."""
    file = _FILE.format(name=name)
    sector = base64.b64encode(_SECTOR).decode()
    lab.run("sh", "-c", 'base64 -d >"$0"', file, node=node, input=sector)
    lab.run("tee", f"/tmp/{name}.xml", node=node, input=_DOMAIN.format(name=name, file=file, devices=devices))
    virsh(lab, node, "create", f"/tmp/{name}.xml")
    return EchoGuest(lab, node, name)
