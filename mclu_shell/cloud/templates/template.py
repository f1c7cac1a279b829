"""Templates: executable files that answer questions about the guests they build."""

import os
import re
import signal
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.templates import runner
from mclu_shell.errors import NotFound, TemplateError, did_you_mean
from mclu_shell.units import parse_size

SUFFIX = ".template"
UNKNOWN_PARAMETER = 2
DISK_BUSES = ("ide", "virtio", "virtio-scsi")
NETWORK_MODELS = ("e1000", "virtio")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# As virt-builder names its images, and nothing that a shell or XML would read as more than a name.
_BASE_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}")
_KERNEL_ARGUMENTS = re.compile(r"[!-~]+( [!-~]+)*")


class Template(NamedTuple):
    """What a template reports of itself; None where it does not know the parameter."""

    name: str
    path: Path
    base_image: str
    minimum_memory_bytes: int | None = None
    recommended_memory_bytes: int | None = None
    minimum_size_bytes: int | None = None
    # One of DISK_BUSES, one of NETWORK_MODELS.
    disk_bus: str | None = None
    network_model: str | None = None
    # Of a guest that boots $output.kernel and $output.initrd, which its build makes.
    kernel_arguments: str | None = None


def template_directories() -> list[Path]:
    """The directories of $MCLU_PATH, or the one that came with mclu."""
    named = [Path(name).expanduser().absolute() for name in os.environ.get("MCLU_PATH", "").split(":") if name]
    return named or [_shipped_directory()]


def _shipped_directory() -> Path:
    """In a checkout, beside the package; where a wheel was installed, in share/mclu of the same prefix."""
    root = Path(__file__).parents[3]
    shared = (base / "share/mclu/templates" for base in (root, *root.parents))
    if (root / "pyproject.toml").exists():
        return root / "templates"
    return next(filter(Path.is_dir, shared), root / "templates")


def find_templates() -> list[Path]:
    """The template files, by name; of two with one name, the one in the earlier directory."""
    found: dict[str, Path] = {}
    for directory in template_directories():
        for path in directory.glob(f"[!.]*{SUFFIX}"):
            found.setdefault(path.name, path)
    return sorted(found.values(), key=template_name)


def find_template(name: str) -> Path:
    """The file of a template; NotFound with near misses, or with the directories that were searched."""
    found = {template_name(path): path for path in find_templates()}
    if name not in found:
        searched = ", ".join(map(str, template_directories()))
        remedy = did_you_mean(name, list(found)) or f"there are {', '.join(found) or 'none'} in {searched}"
        raise NotFound(f"no such template {name!r}", remedy=remedy)
    return found[name]


def template_name(path: Path) -> str:
    """The name by which a template is booted, as it can be shown."""
    name = path.name.removesuffix(SUFFIX)
    return name if name.isprintable() else ascii(name)[1:-1]


def read_template(path: Path) -> Template:
    """Ask a template about itself; TemplateError says how it breaks its contract.

    Its answers are remembered as long as the file is what it was; faults are not, as their cause may lie elsewhere.
    """
    identity = _identity(path)
    _in_vain.pop(path.absolute(), None)
    try:
        return _read(path.absolute(), identity)
    except runner.TemplateTimeout as fault:
        _in_vain[path.absolute()] = identity, fault
        raise


def read_template_cached(path: Path) -> Template:
    """As `read_template`, but one that was waited for in vain is not waited for again before its file changes."""
    identity, fault = _in_vain.get(path.absolute(), (None, None))
    if fault is not None and identity == _identity(path):
        raise fault.with_context()
    return read_template(path)


# The files that gave no answer, as they were then, and what was said of that.
_in_vain: dict[Path, tuple[tuple[int, ...], runner.TemplateTimeout]] = {}


def _identity(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError as error:
        raise TemplateError(f"it cannot be read: {error.strerror}", place=template_name(path)) from None
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
    """TemplateError if the file's name is none by which a template could be booted."""
    name = template_name(path)
    if not _NAME.fullmatch(name):
        raise TemplateError("a bad name for a template: letters, digits and . _ + - are allowed", place=name)


def check_probe(path: Path) -> None:
    """TemplateError if it does not say that it is a template."""
    said = answer(path, "probe")
    if said != "hello\n":
        but = "" if said is None else f", but {_shown(said)}"
        raise TemplateError(f"its 'probe' does not say hello{but}", place=template_name(path))


def custom_xml(template: Template, environment: Mapping[str, str]) -> str | None:
    """The libvirt XML that a template has for an odd guest; None if it has none. It is not looked at here.

    The environment holds name, format, output, memory_kb, vcpus, base_image, disk_bus, network_model and mac_addr.
    """
    return answer(template.path, "xml", environment)


def answer(path: Path, parameter: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What a template prints for a parameter; None if it does not know the parameter."""
    name = template_name(path)
    try:
        reply = runner.run_template(path, parameter, environment)
    except TemplateError as error:
        raise error.with_context(place=name) from error.__cause__
    if reply.status == UNKNOWN_PARAMETER:
        return None
    if reply.status < 0:
        raise TemplateError(f"{parameter}: killed by {signal.Signals(-reply.status).name}", place=name)
    if reply.status:
        complaint = f" ({_shown(reply.last_error_line)})" if reply.last_error_line else ""
        raise TemplateError(f"{parameter}: exit status {reply.status}{complaint}", place=name)
    return reply.text


def _line(path: Path, parameter: str) -> str | None:
    text = answer(path, parameter)
    return text if text is None else text.removesuffix("\n")


def read_base_image(path: Path) -> str:
    """The image that it builds; TemplateError if it names none."""
    image = _line(path, "base-image")
    if image is None:
        raise TemplateError("it does not know 'base-image'", place=template_name(path))
    if not _BASE_IMAGE.fullmatch(image):
        raise TemplateError(f"base-image: not the name of an image: {_shown(image)}", place=template_name(path))
    return image


def read_size(path: Path, parameter: str) -> int | None:
    """The bytes of a parameter such as minimum-memory."""
    text = _line(path, parameter)
    try:
        return text if text is None else parse_size(text)
    except ValueError:
        fact = f"{parameter}: not a size, such as 512M or 4G: {_shown(text or '')}"
        raise TemplateError(fact, place=template_name(path)) from None


def read_choice(path: Path, parameter: str, allowed: tuple[str, ...]) -> str | None:
    """One of the words that are allowed for a parameter."""
    text = _line(path, parameter)
    if text is None or text in allowed:
        return text
    raise TemplateError(f"{parameter}: not one of {', '.join(allowed)}: {_shown(text)}", place=template_name(path))


def read_kernel_arguments(path: Path) -> str | None:
    """What the kernel is told that its build provides."""
    text = _line(path, "kernel-arguments")
    if text is None or _KERNEL_ARGUMENTS.fullmatch(text):
        return text
    raise TemplateError(f"kernel-arguments: not one line of words: {_shown(text)}", place=template_name(path))


def _shown(text: str) -> str:
    """What a template said, so that it can do no harm to a terminal, nor fill it."""
    return repr(text if len(text) <= 60 else text[:59] + "…")
