"""Import paramiko without what it imports for things that mclu never does: 60 of 130 ms of every one-shot."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_METADATA = "importlib.metadata"


@contextmanager
def lean_imports() -> Iterator[None]:
    """Within it, `invoke` is absent and `importlib.metadata.version` knows nothing; afterwards all is as it was.

    paramiko uses invoke for "Match exec" in its own reading of ssh_config, which ssh does for us, and the
    metadata for its `__version__`.
    """
    kept = {name: sys.modules.get(name) for name in ("invoke", _METADATA)}
    stand_in = ModuleType(_METADATA)
    stand_in.version = lambda _name: ""  # type: ignore[attr-defined]
    sys.modules["invoke"] = None  # type: ignore[assignment]
    sys.modules[_METADATA] = stand_in
    had = importlib.__dict__.get("metadata")
    importlib.metadata = stand_in
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        if had is None:
            del importlib.metadata
        else:
            importlib.metadata = had
