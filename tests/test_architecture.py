"""How mclu is built: imports point one way, each large library has one importer, and nothing grows too large."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mclu_shell

PACKAGE = Path(mclu_shell.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# The parts of the package, the highest first. What is imported must stand lower; within a part, anything goes, except
# between two commands.
LEVELS = (
    {"cli"},
    {"shell", "tab"},
    {"session", "completion"},
    {"check", "commands"},
    {"render_json"},
    {"command", "render", "handovers", "dryrun", "usershell"},
    {"kinds", "results"},
    {"script"},
    {"aliases", "written"},
    {"language"},
    {"records", "terminal"},
    {"cloud"},
    {"config", "terminal"},
    {"options"},
    {"errors", "signals", "units"},
    # The package itself: its version.
    {"mclu_shell"},
)
IMPORTERS = {
    "libvirt": "cloud/hypervisor/*.py",
    "paramiko": "cloud/ssh/*.py",
    "wakeonlan": "cloud/wake.py",
    "cmd2": "shell/*.py",
    "prompt_toolkit": "shell/*.py",
    "rich": "render.py",
    "re2": "cloud/expression.py",
}


def called(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


each_module = pytest.mark.parametrize("path", MODULES, ids=called)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Return the full names of the modules that a module imports, wherever in it that stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide what they point to"
            base = str(node.module)
            for alias in node.names:
                inner = PACKAGE.parent.joinpath(*base.split("."), alias.name)
                yield f"{base}.{alias.name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else base


def part(module: str) -> str:
    """Return the part of the package that a full module name belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else names[0]


def level(name: str) -> int:
    found = [number for number, parts in enumerate(LEVELS) if name in parts]
    assert found, f"{name!r} is new: give it its place in LEVELS"
    return found[0]


@each_module
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    own = "mclu_shell" if own == "__init__" else own
    for module in imported(path):
        if module.split(".")[0] == "mclu_shell":
            other = part(module)
            assert other == own or level(own) < level(other), f"{called(path)} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").glob("[!_]*.py")), ids=called)
def test_commands_do_not_import_each_other(path: Path) -> None:
    for module in imported(path):
        assert not module.startswith("mclu_shell.commands."), f"{called(path)} imports {module}"
        if module == "mclu_shell.commands":
            assert path.name == "help.py", "only help is about the other commands"


@pytest.mark.parametrize(("library", "importer"), IMPORTERS.items())
def test_a_large_library_has_one_importer(library: str, importer: str) -> None:
    importers = {path for path in MODULES if any(module.split(".")[0] == library for module in imported(path))}
    assert importers
    assert importers <= set(PACKAGE.glob(importer))


@each_module
def test_a_module_says_what_lives_there_and_is_not_too_long(path: Path) -> None:
    assert ast.get_docstring(tree(path))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@each_module
def test_no_function_is_too_long(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", sorted((PACKAGE / "cloud").glob("*.py")), ids=called)
def test_the_doing_layer_prints_nothing_and_ends_nothing(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"print", "input", "sys.exit", "os._exit", "exit"}
