"""The least that a one-shot beside an open shell takes: libvirt-python alone, over the shell's sockets.

Run as a program on a lab's LAN: it asks each libvirt behind them, all at once, what `mclu status` asks.
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
    """Ask them all, and wait for all answers."""
    paths = Path(os.environ["XDG_RUNTIME_DIR"]).glob("mclu-run-*/[0-9]*.sock")
    asking = [threading.Thread(target=_ask, args=(path,), daemon=True) for path in paths]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()


if __name__ == "__main__":
    main()
    os._exit(0)
