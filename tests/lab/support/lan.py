"""Programs that run on a lab's LAN, and facts about its nodes, for the tests of the lab itself."""

from tests.lab.support.lab import RealLab

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 22), timeout=0.8).close()
    print("accepted")
except TimeoutError:
    print("silent")
except ConnectionRefusedError:
    print("refused")
"""
# A magic packet, as UDP to a port or as an Ethernet frame.
WAKE = """
import socket, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
packet = b"\\xff" * 6 + mac * 16
if sys.argv[2] == "ethertype":
    frame = b"\\xff" * 6 + bytes(6) + b"\\x08\\x42" + packet
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("lan0", 0))
    raw.send(frame)
else:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    udp.sendto(packet, ("10.73.255.255", int(sys.argv[2])))
"""


def mac_of(lab: RealLab, node: str) -> str:
    """Return a node's MAC address."""
    lines = dict(line.split(" mac=") for line in lab.call("config").stdout.splitlines() if "mac=" in line)
    return lines[node]


def pid_of(lab: RealLab, node: str) -> str:
    """Return the host's pid of a node's pid 1, which changes with each boot of the node."""
    states = [line.split() for line in (lab.path / "state").read_text().splitlines()]
    return next(pid for name, pid, *_ in states if name == node)
