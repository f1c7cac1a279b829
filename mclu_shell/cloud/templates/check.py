"""Checks of a template against each rule of docs/templates.md."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec, with_metadata
from mclu_shell.cloud.templates import template
from mclu_shell.cloud.templates.programs import read_programs
from mclu_shell.cloud.templates.query import NO_PARAMETER, UNKNOWN_PARAMETER
from mclu_shell.cloud.templates.script_file import check_line_ends, check_runnable, check_syntax, translated
from mclu_shell.errors import TemplateError
from mclu_shell.units import format_size


class Finding(NamedTuple):
    """The result of a rule; `holds` is None if the template does not support the optional parameter."""

    rule: str
    holds: bool | None
    detail: str = ""


# Returns a detail if the rule holds, or None for an optional parameter that is not supported; raises TemplateError.
_Check = Callable[[Path], str | None]


def check_template(path: Path, validate: Callable[[str], str | None]) -> Iterator[Finding]:
    """Check every rule, in the order in which an author meets them, without a build.

    `validate` returns where libvirt accepts a template's own XML, or None if it cannot be validated; it raises
    TemplateError.
    """
    for rule, check in _FIRST:
        finding = _check_rule(rule, check, path)
        yield finding
        if not finding.holds:
            # All other rules would fail for the same reason.
            return
    for rule, check in _RULES:
        yield _check_rule(rule, check, path)
    yield _check_rule("libvirt accepts the xml", lambda path: _validate(path, validate), path)


def _validate(path: Path, validate: Callable[[str], str | None]) -> str | None:
    try:
        xml = _sample_xml(path)
    except TemplateError:
        # The rule for `xml` reports this.
        return None
    return None if xml is None else validate(xml)


def _check_rule(rule: str, check: _Check, path: Path) -> Finding:
    try:
        with translated():
            detail = check(path)
    except TemplateError as error:
        return Finding(rule, holds=False, detail="; ".join(filter(None, (error.fact, error.remedy))))
    return Finding(rule, None if detail is None else True, detail or "")


def _check_runnable(path: Path) -> str:
    check_runnable(path)
    return ""


def _check_line_ends(path: Path) -> str:
    check_line_ends(path)
    return ""


def _check_syntax(path: Path) -> str:
    check_syntax(path)
    return ""


def _check_name(path: Path) -> str:
    template.check_name(path)
    return template.template_name(path)


def _check_probe(path: Path) -> str:
    template.check_probe(path)
    return ""


def _check_unknown_parameter(path: Path) -> str:
    if template.query(path, NO_PARAMETER) is not None:
        raise TemplateError(f"'{NO_PARAMETER}': exit status 0, expected {UNKNOWN_PARAMETER}")
    return ""


def _size_check(parameter: str) -> _Check:
    def check(path: Path) -> str | None:
        size = template.read_size(path, parameter)
        return None if size is None else format_size(size)

    return check


def _choice_check(parameter: str, allowed: tuple[str, ...]) -> _Check:
    return lambda path: template.read_choice(path, parameter, allowed)


def _check_recommended_memory(path: Path) -> str | None:
    minimum, recommended = template.read_size(path, "minimum-memory"), template.read_size(path, "recommended-memory")
    if minimum is None or recommended is None:
        return None
    if recommended < minimum:
        raise TemplateError(f"{format_size(recommended)} is less than {format_size(minimum)}")
    return ""


def _check_programs(path: Path) -> str | None:
    programs = read_programs(path)
    return None if programs is None else " ".join("|".join(needed) for needed in programs)


def _check_xml(path: Path) -> str | None:
    return None if _sample_xml(path) is None else ""


def _sample_xml(path: Path) -> str | None:
    """Return the XML of a sample guest, with mclu's metadata; None if the template has none of its own."""
    sample = DomainSpec(
        name="sample",
        uuid="00000000-0000-4000-8000-000000000001",
        template=template.template_name(path),
        memory_bytes=1 << 30,
        vcpus=1,
        output="/var/lib/libvirt/images/sample.qcow2",
        disk_format="qcow2",
        disk_bus="virtio",
        network_model="virtio",
        mac="52:54:00:00:00:01",
        network=("network", "default"),
    )
    environment = {
        "name": sample.name,
        "format": sample.disk_format,
        "output": sample.output,
        "memory_kb": str(sample.memory_bytes >> 10),
        "vcpus": str(sample.vcpus),
        "base_image": template.read_base_image(path),
        "disk_bus": sample.disk_bus,
        "network_model": sample.network_model,
        "mac_addr": sample.mac,
    }
    xml = template.query(path, "xml", environment)
    return None if xml is None else with_metadata(xml, sample)


def _check_standalone(path: Path) -> str:
    """Check that a copy of the template alone gives the same output: only the template is copied to the node."""
    # TemporaryDirectory recurses without end if it may not remove its directory.
    directory = tempfile.mkdtemp(prefix="mclu-")
    try:
        copy = Path(shutil.copy(path, directory))
        template.check_probe(copy)
        original, copied = template.read_base_image(path), template.read_base_image(copy)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if original != copied:
        raise TemplateError(f"base-image is {original!r} here, but {copied!r} in an empty directory")
    return ""


_FIRST: tuple[tuple[str, _Check], ...] = (
    ("is an executable script", _check_runnable),
    ("has a valid name", _check_name),
    ("has no Windows line ends", _check_line_ends),
    ("has no syntax error", _check_syntax),
    ("probe prints hello", _check_probe),
)
_RULES: tuple[tuple[str, _Check], ...] = (
    ("an unknown parameter exits with status 2", _check_unknown_parameter),
    ("base-image is an image name", template.read_base_image),
    ("minimum-memory is a size", _size_check("minimum-memory")),
    ("recommended-memory is a size", _size_check("recommended-memory")),
    ("recommended-memory is not below minimum-memory", _check_recommended_memory),
    ("minimum-size is a size", _size_check("minimum-size")),
    ("disk-bus is ide, virtio or virtio-scsi", _choice_check("disk-bus", template.DISK_BUSES)),
    ("network-model is e1000 or virtio", _choice_check("network-model", template.NETWORK_MODELS)),
    ("kernel-arguments are words on one line", template.read_kernel_arguments),
    ("programs are names on one line", _check_programs),
    ("xml is a libvirt domain with the guest's name", _check_xml),
    ("needs no other local file", _check_standalone),
)
