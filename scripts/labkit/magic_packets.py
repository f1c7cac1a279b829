"""Magic packets on the LAN (Wake-on-LAN): UDP to any port, or ethertype 0x0842."""

import ctypes
import socket
import struct
from collections.abc import Iterator

ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SYNC = b"\xff" * 6
# Classic BPF (bpf(4)): accept ethertype 0x0842 and UDP over IPv4. Traffic of guests and SSH also passes the bridge, and
# must not wake the process. Each line: code, jump if true, jump if false, operand.
FILTER = (
    (0x28, 0, 0, 12),  # load the half-word at 12, the ethertype
    (0x15, 4, 0, 0x0842),  # Wake-on-LAN: accept
    (0x15, 0, 2, 0x0800),  # not IPv4: drop
    (0x30, 0, 0, 23),  # load the byte at 23, the IP protocol
    (0x15, 1, 0, 17),  # UDP: accept
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFF),  # accept
)


def watch(interface: str) -> socket.socket:
    """Return a socket that receives the Ethernet frames that may contain a magic packet."""
    watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    program = b"".join(struct.pack("HBBI", *line) for line in FILTER)
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HL", len(FILTER), ctypes.addressof(buffer))
    watcher.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
    watcher.bind((interface, 0))
    watcher.setblocking(False)
    return watcher


def macs_in(frame: bytes) -> Iterator[str]:
    """Yield the MAC address of each magic packet in a frame: six times 0xff, then sixteen times the address."""
    at = frame.find(SYNC)
    while at >= 0:
        mac = frame[at + 6 : at + 12]
        if frame[at + 6 : at + 102] == mac * 16 and len(mac) == 6:
            yield mac.hex(":")
        at = frame.find(SYNC, at + 1)
