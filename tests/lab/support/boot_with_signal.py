"""A program that runs `mclu boot quick web`, and signals itself after a step of the boot.

Usage: boot_with_signal.py STEP SIGNAL... Each completion of the step sends the next signal.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from mclu_shell.cli import main
from mclu_shell.cloud.boot.build import Build
from mclu_shell.cloud.hypervisor.client import LibvirtClient
from mclu_shell.cloud.nodes.node import Node

STEPS: dict[str, tuple[type, Callable[..., Any]]] = {
    "definition": (LibvirtClient, LibvirtClient.define),
    "confirmation to the build": (Build, Build.keep),
    "start": (Node, Node.change_guest),
    "clean-up of the build": (Node, Node.check_alive),
}


def signal_after(step: str, signals: list[int]) -> None:
    """Send the next signal to this process after each call of the method that does the step."""
    owner, method = STEPS[step]

    @functools.wraps(method)
    def call_and_signal(*args: object, **options: object) -> object:
        result = method(*args, **options)
        number = signals.pop(0)
        if not signals:
            setattr(owner, method.__name__, method)
        os.kill(os.getpid(), number)
        return result

    setattr(owner, method.__name__, call_and_signal)


if __name__ == "__main__":
    signal_after(sys.argv[1], [int(number) for number in sys.argv[2:]])
    sys.exit(main(["boot", "quick", "web"]))
