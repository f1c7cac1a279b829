"""One more libvirt connection beside a machine's first: for what takes its time, and must be cut by itself."""

import itertools
from collections.abc import Callable
from pathlib import Path

from mclu_shell.cloud.transport.base import forwarded_uri
from mclu_shell.cloud.transport.forward import Duplex, Forward

_numbers = itertools.count()


def branch(uri: str, path: Path, connect: Callable[[], Duplex]) -> tuple[str, Forward]:
    """A forward beside the one at `path`, and libvirt's URI through it."""
    forward = Forward(path.with_name(f"{path.stem}-{next(_numbers)}.sock"), connect)
    return forwarded_uri(uri, forward.path), forward
