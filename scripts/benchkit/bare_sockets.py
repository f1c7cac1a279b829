"""The floor of a one-shot beside an open shell: libvirt-python alone, over the shell's sockets.

Run it as a program on a lab's LAN. It makes the same libvirt calls as `mclu status`, over all sockets in parallel.
"""

import os
import threading
from pathlib import Path

import libvirt


def _ask(path: Path) -> None:
    libvirtd = libvirt.open(f"qemu+unix:///system?socket={path}")
    libvirtd.getInfo()
    libvirtd.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    libvirtd.getAllDomainStats()


def main() -> None:
    """Query all nodes in parallel and wait for the answers."""
    paths = Path(os.environ["XDG_RUNTIME_DIR"]).glob("mclu-run-*/[0-9]*.sock")
    asking = [threading.Thread(target=_ask, args=(path,), daemon=True) for path in paths]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()


if __name__ == "__main__":
    main()
    os._exit(0)
