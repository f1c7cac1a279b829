"""Templates: executable files that describe and build guests."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.templates import query as queries
from mclu_shell.cloud.templates import runner
from mclu_shell.cloud.templates.directories import template_directories, unreadable_directories
from mclu_shell.cloud.templates.query import shown
from mclu_shell.cloud.templates.script_file import explain_failure, translated
from mclu_shell.errors import NotFound, TemplateError, did_you_mean
from mclu_shell.units import parse_size
from mclu_shell.user_paths import absolute

SUFFIX = ".template"
DISK_BUSES = ("ide", "virtio", "virtio-scsi")
NETWORK_MODELS = ("e1000", "virtio")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# virt-builder's names; no character that is special in a shell or in XML.
_BASE_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}")
_KERNEL_ARGUMENTS = re.compile(r"[!-~]+( [!-~]+)*")


class Template(NamedTuple):
    """The parameters of a template; None where it does not support one."""

    name: str
    path: Path
    base_image: str
    minimum_memory_bytes: int | None = None
    recommended_memory_bytes: int | None = None
    minimum_size_bytes: int | None = None
    # One of DISK_BUSES, one of NETWORK_MODELS.
    disk_bus: str | None = None
    network_model: str | None = None
    # For a guest that boots $output.kernel and $output.initrd, made by `build`.
    kernel_arguments: str | None = None


def find_templates() -> list[Path]:
    """Return the template files by name; of two with one name, the one in the earlier directory."""
    paths: dict[str, Path] = {}
    for directory in template_directories():
        for path in _files(directory):
            paths.setdefault(path.name, path)
    return sorted(paths.values(), key=template_name)


def _files(directory: Path) -> list[Path]:
    """Return the template files of a directory; none if it cannot be read, which `unreadable_directories` reports."""
    with suppress(OSError):
        return list(directory.glob(f"[!.]*{SUFFIX}"))
    return []


def find_template(name: str) -> Path:
    """Find a template's file; raise NotFound with near misses, or with the directories that were searched."""
    paths = {template_name(path): path for path in find_templates()}
    if name not in paths:
        searched = ", ".join(map(str, template_directories()))
        remedy = did_you_mean(name, list(paths)) or f"available in {searched}: {', '.join(paths) or 'none'}"
        warnings = [f"{warning.place}: {warning.fact}" for warning in unreadable_directories()]
        raise NotFound(f"no such template {name!r}", remedy="; ".join((remedy, *warnings)))
    return paths[name]


def template_name(path: Path) -> str:
    """Return a template's name, with unprintable characters escaped."""
    name = path.name.removesuffix(SUFFIX)
    return name if name.isprintable() else ascii(name)[1:-1]


def read_template(path: Path) -> Template:
    """Read a template's parameters; raise TemplateError if it breaks a rule.

    The parameters are cached until the file changes. Errors are not, because their cause may be outside the file.
    """
    identity = _identity(path)
    _timeouts.pop(absolute(path), None)
    try:
        return _read(absolute(path), identity)
    except runner.TemplateTimeout as fault:
        _timeouts[absolute(path)] = identity, fault
        raise


def read_template_cached(path: Path) -> Template:
    """Read a template as `read_template` does, but raise its last timeout again until the file changes."""
    identity, fault = _timeouts.get(absolute(path), (None, None))
    if fault is not None and identity == _identity(path):
        raise fault.with_context()
    return read_template(path)


# Templates that timed out: the identity of the file at that time, and the error.
_timeouts: dict[Path, tuple[tuple[int, ...], runner.TemplateTimeout]] = {}


def _identity(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError as error:
        raise TemplateError(f"cannot be read: {error.strerror}", place=template_name(path)) from None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode


@lru_cache(maxsize=1000)
def _read(path: Path, _identity: tuple[int, ...]) -> Template:
    check_name(path)
    check_probe(path)
    return Template(
        template_name(path),
        path,
        read_base_image(path),
        minimum_memory_bytes=read_size(path, "minimum-memory"),
        recommended_memory_bytes=read_size(path, "recommended-memory"),
        minimum_size_bytes=read_size(path, "minimum-size"),
        disk_bus=read_choice(path, "disk-bus", DISK_BUSES),
        network_model=read_choice(path, "network-model", NETWORK_MODELS),
        kernel_arguments=read_kernel_arguments(path),
    )


def check_name(path: Path) -> None:
    """Raise TemplateError if the file's name is not a valid template name."""
    name = template_name(path)
    if not _NAME.fullmatch(name):
        raise TemplateError("bad template name: use letters, digits and . _ + -", place=name)


def check_probe(path: Path) -> None:
    """Raise TemplateError if `probe` does not print "hello"."""
    with _named(path):
        output = queries.query_required(path, "probe")
        if output != "hello\n":
            fault = TemplateError(f"probe: expected 'hello\\n', got {shown(output)}")
            raise explain_failure(path) or fault


def custom_xml(template: Template, environment: Mapping[str, str]) -> str | None:
    """Return a template's own libvirt XML, unchecked; None if it has none.

    The environment has name, format, output, memory_kb, vcpus, base_image, disk_bus, network_model and mac_addr.
    """
    return query(template.path, "xml", environment)


def query(path: Path, parameter: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return a template's output for a parameter; None if it does not support the parameter."""
    with _named(path):
        return queries.query(path, parameter, environment)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the template's name to errors, and turn those of the system into TemplateError."""
    try:
        with translated():
            yield
    except TemplateError as error:
        raise error.with_context(place=template_name(path)) from error.__cause__


def _line(path: Path, parameter: str) -> str | None:
    text = query(path, parameter)
    return text if text is None else text.removesuffix("\n")


def read_base_image(path: Path) -> str:
    """Return the name of the image that a template builds; raise TemplateError if it has none."""
    with _named(path):
        image = queries.query_required(path, "base-image").removesuffix("\n")
    if not _BASE_IMAGE.fullmatch(image):
        raise TemplateError(f"base-image: not an image name: {shown(image)}", place=template_name(path))
    return image


def read_size(path: Path, parameter: str) -> int | None:
    """Return the bytes of a parameter such as minimum-memory."""
    text = _line(path, parameter)
    try:
        return text if text is None else parse_size(text)
    except ValueError:
        fact = f"{parameter}: not a size, such as 512M or 4G: {shown(text or '')}"
        raise TemplateError(fact, place=template_name(path)) from None


def read_choice(path: Path, parameter: str, allowed: tuple[str, ...]) -> str | None:
    """Return the value of a parameter that has a list of allowed values."""
    text = _line(path, parameter)
    if text is None or text in allowed:
        return text
    raise TemplateError(f"{parameter}: not one of {', '.join(allowed)}: {shown(text)}", place=template_name(path))


def read_kernel_arguments(path: Path) -> str | None:
    """Return the arguments for the kernel that `build` makes."""
    text = _line(path, "kernel-arguments")
    if text is None or _KERNEL_ARGUMENTS.fullmatch(text):
        return text
    raise TemplateError(f"kernel-arguments: not one line of words: {shown(text)}", place=template_name(path))
