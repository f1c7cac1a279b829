"""The structure of mclu: the direction of imports, the importers of large libraries, and sizes."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mclu_shell

PACKAGE = Path(mclu_shell.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# The parts of the package, the highest first. A part may import only from parts on lower levels; within a part, modules
# may import each other, except commands.
LEVELS = (
    {"cli"},
    {"shell", "shell_completion"},
    {"session", "completion"},
    {"commands"},
    {"command_loader"},
    {"command", "attach", "dry_run_text"},
    {"argtypes", "output"},
    {"language"},
    {"cloud"},
    {"config", "terminal"},
    {"global_options"},
    {"argument_parser"},
    {"user_paths", "system_faults", "files"},
    {"errors", "units"},
    {"signals"},
    # The package itself: its version.
    {"mclu_shell"},
)
# The packages and modules of cloud/, the highest first, with the same rule.
CLOUD_LEVELS = (
    {"dryrun", "discovery", "doctor"},
    {"boot", "guests", "open"},
    {"power"},
    {"cloud"},
    {"sharing", "console", "templates"},
    {"nodes"},
    {"hypervisor", "transport"},
    {"state", "concurrency"},
)
IMPORTERS = {
    "libvirt": "cloud/hypervisor/*.py",
    "paramiko": "cloud/transport/paramiko_ssh/*.py",
    "wakeonlan": "cloud/transport/wake_on_lan.py",
    "cmd2": "shell/*.py",
    "prompt_toolkit": "shell/*.py",
    "wcwidth": "output/text_width.py",
    "re2": "cloud/console/regex.py",
}
# The only packages whose __init__.py may hold more than a docstring: the version, and the import of paramiko without
# the modules that mclu does not use.
INITS_WITH_CODE = {"__init__.py", "cloud/transport/paramiko_ssh/__init__.py"}
MOST_MODULES = 16


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


def part(module: str, depth: int = 1) -> str:
    """Return the part of the package, or with depth 2 of cloud/, that a full module name belongs to."""
    names = module.split(".")
    return names[depth] if len(names) > depth else names[-1]


def module_name(path: Path) -> str:
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def level(name: str, levels: tuple[set[str], ...]) -> int:
    numbers = [number for number, parts in enumerate(levels) if name in parts]
    assert len(numbers) == 1, f"{name!r} is on {len(numbers)} levels; add a new part to one level"
    return numbers[0]


@each_module
def test_imports_point_to_lower_levels(path: Path) -> None:
    own = part(module_name(path))
    for module in imported(path):
        if module.split(".")[0] == "mclu_shell":
            other = part(module)
            assert other == own or level(own, LEVELS) < level(other, LEVELS), f"{called(path)} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "cloud").rglob("*.py")), ids=called)
def test_imports_within_cloud_point_to_lower_levels(path: Path) -> None:
    if path == PACKAGE / "cloud/__init__.py":
        return
    own = part(module_name(path), 2)
    for module in imported(path):
        if module.startswith("mclu_shell.cloud."):
            other = part(module, 2)
            below = level(own, CLOUD_LEVELS) < level(other, CLOUD_LEVELS)
            assert other == own or below, f"{called(path)} imports {module}"


@pytest.mark.parametrize("levels", [LEVELS, CLOUD_LEVELS])
def test_each_part_has_one_level(levels: tuple[set[str], ...]) -> None:
    names = [name for parts in levels for name in parts]
    assert sorted(names) == sorted(set(names))


def test_no_modules_import_each_other_in_a_cycle() -> None:
    """Imports within functions and for type checkers count."""
    names = {module_name(path): path for path in MODULES}
    unchecked = {name: {other for other in imported(path) if other in names} for name, path in names.items()}
    # Remove modules that import nothing that is left, until only cycles remain.
    while leaves := [name for name, others in unchecked.items() if not others & unchecked.keys()]:
        for name in leaves:
            del unchecked[name]
    assert not unchecked


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=called)
def test_an_init_holds_only_a_docstring(path: Path) -> None:
    (docstring, *code) = tree(path).body
    assert isinstance(docstring, ast.Expr)
    assert not code or called(path) in INITS_WITH_CODE


@pytest.mark.parametrize("directory", sorted({path.parent for path in MODULES} - {PACKAGE / "commands"}), ids=called)
def test_a_directory_is_not_crowded(directory: Path) -> None:
    assert len(list(directory.glob("*.py"))) <= MOST_MODULES


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").glob("[!_]*.py")), ids=called)
def test_commands_do_not_import_each_other(path: Path) -> None:
    for module in imported(path):
        assert not module.startswith("mclu_shell.commands."), f"{called(path)} imports {module}"
        if module == "mclu_shell.command_loader":
            assert path.name == "help.py", "only help is about the other commands"


@pytest.mark.parametrize(("library", "importer"), IMPORTERS.items())
def test_a_large_library_has_one_importer(library: str, importer: str) -> None:
    importers = {path for path in MODULES if any(module.split(".")[0] == library for module in imported(path))}
    assert importers
    assert importers <= set(PACKAGE.glob(importer))


@each_module
def test_a_module_has_a_docstring_and_at_most_400_lines(path: Path) -> None:
    assert ast.get_docstring(tree(path))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@each_module
def test_a_function_has_at_most_60_lines(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", sorted((PACKAGE / "cloud").rglob("*.py")), ids=called)
def test_the_cloud_package_never_prints_or_exits(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"print", "input", "sys.exit", "os._exit", "exit"}


# Look-ups of the user's account and directories, which raise KeyError or RuntimeError on unusual machines.
LOOK_UPS = {"home", "expanduser", "absolute", "resolve", "getcwd", "cwd", "getuser", "getpwuid", "getpwnam", "getlogin"}
# The paths of the first two exist, so their look-up fails only with OSError; the others resolve the name of a node.
RESOLVED = {
    ("language/script.py", "resolve"),
    ("shell/history.py", "resolve"),
    ("cloud/discovery/candidates.py", "resolve"),
    ("cloud/discovery/survey.py", "resolve"),
    ("cloud/transport/ssh/login.py", "resolve"),
    ("cloud/transport/ssh/transport.py", "resolve"),
}


@each_module
def test_the_users_account_and_directories_are_looked_up_in_one_place(path: Path) -> None:
    if called(path) == "user_paths.py":
        return
    names = {
        node.func.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert {(called(path), name) for name in names & LOOK_UPS} <= RESOLVED, "use mclu_shell.user_paths"
