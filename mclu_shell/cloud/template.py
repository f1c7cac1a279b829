"""Templates: executable files that answer questions about the guests they build."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mclu_shell.errors import NotFound, TemplateError, near
from mclu_shell.units import parse_size

_SUFFIX = ".template"
_ANSWER_TIMEOUT_S = 5.0
_UNKNOWN_PARAMETER = 2


@dataclass(frozen=True, slots=True)
class Template:
    """What a template reports of itself; None where it does not know the parameter."""

    name: str
    path: Path
    base_image: str
    minimum_memory_bytes: int | None = None
    recommended_memory_bytes: int | None = None
    minimum_size_bytes: int | None = None
    disk_bus: str | None = None
    network_model: str | None = None
    kernel_arguments: str | None = None


def template_directories() -> list[Path]:
    """The directories of $MCLU_PATH, or the one that came with mclu."""
    named = [Path(name).expanduser() for name in os.environ.get("MCLU_PATH", "").split(":") if name]
    return named or [Path(__file__).parents[2] / "templates"]


def find_templates() -> list[Path]:
    """The template files, by name; of two with one name, the one in the earlier directory."""
    found: dict[str, Path] = {}
    for directory in template_directories():
        for path in directory.glob(f"*{_SUFFIX}"):
            found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]


def find_template(name: str) -> Path:
    """The template of a name; NotFound with near misses if there is none."""
    known = {template_name(path): path for path in find_templates()}
    if name not in known:
        raise NotFound(f"no such template {name!r}", remedy=near(name, list(known)) or "see 'list --templates'")
    return known[name]


def custom_xml(template: Template, environment: dict[str, str]) -> str | None:
    """A template's own domain XML for a guest; None if it does not know `xml`."""
    return _answer(template.path, "xml", environment)


def template_name(path: Path) -> str:
    """The name by which a template is booted."""
    return path.name.removesuffix(_SUFFIX)


def read_template(path: Path) -> Template:
    """Ask a template about itself; TemplateError says how it breaks its contract."""
    name = template_name(path)
    if _answer(path, "probe") != "hello":
        raise TemplateError("its 'probe' does not say hello", place=name)
    base_image = _answer(path, "base-image")
    if not base_image:
        raise TemplateError("it names no base-image", place=name)
    if len(base_image.split()) > 1 or not base_image.isprintable():
        raise TemplateError(f"base-image: not a name: {base_image[:60]!r}", place=name)
    return Template(
        name,
        path,
        base_image,
        minimum_memory_bytes=_size(path, "minimum-memory"),
        recommended_memory_bytes=_size(path, "recommended-memory"),
        minimum_size_bytes=_size(path, "minimum-size"),
        disk_bus=_answer(path, "disk-bus"),
        network_model=_answer(path, "network-model"),
        kernel_arguments=_answer(path, "kernel-arguments"),
    )


def _size(path: Path, parameter: str) -> int | None:
    answer = _answer(path, parameter)
    if answer is None:
        return None
    try:
        return parse_size(answer)
    except ValueError as error:
        raise TemplateError(f"{parameter}: {error}", place=template_name(path)) from None


def _answer(path: Path, parameter: str, environment: dict[str, str] | None = None) -> str | None:
    """The one line that a template prints for a parameter; None if it does not know the parameter."""
    name = template_name(path)
    try:
        done = subprocess.run(
            [str(path.absolute()), parameter],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        )
    except PermissionError:
        raise TemplateError("it is not executable", place=name, remedy=f"chmod +x {path}") from None
    except OSError as error:
        raise TemplateError(f"it cannot be run: {error.strerror}", place=name) from error
    except subprocess.TimeoutExpired:
        raise TemplateError(f"{parameter}: no answer in {_ANSWER_TIMEOUT_S:g} s", place=name) from None
    if done.returncode == _UNKNOWN_PARAMETER:
        return None
    if done.returncode != 0:
        raise TemplateError(f"{parameter}: exit status {done.returncode}", place=name)
    return done.stdout.strip()
