"""The import of paramiko without two modules that mclu does not need: `invoke` and `importlib.metadata`.

paramiko runs `Match exec` of its own ssh_config reader with invoke, and reads its own version from the metadata.
Without them it imports in half the time.
"""

import builtins
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType, SimpleNamespace


def _import(
    name: str,
    variables: Mapping[str, object] | None = None,
    local_variables: Mapping[str, object] | None = None,
    names: Sequence[str] = (),
    level: int = 0,
) -> object:
    """Import as `__import__` does, except for the two modules."""
    if name == "invoke":
        raise ImportError(name)
    if name == "importlib" and names == ("metadata",):
        return SimpleNamespace(metadata=SimpleNamespace(version=lambda _name: ""))
    return __import__(name, variables, local_variables, names, level)


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        # An import statement calls the `__import__` of its own module's builtins: no other module is affected.
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _import}
        super().exec_module(module)


class ParamikoFinder(PathFinder):
    """The finder for the modules of paramiko that import one of the two."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of such a module with a loader that leaves the imports out; None for all others."""
        if fullname not in ("paramiko", "paramiko.config"):
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Have paramiko imported without them from now on."""
    # The finder stays: to remove it could make the import of another thread skip a finder.
    sys.meta_path.insert(0, ParamikoFinder)
