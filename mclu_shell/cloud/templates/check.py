"""The contract of templates, rule by rule: what a template must and may do, and whether one does (spec 5)."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec, with_metadata
from mclu_shell.cloud.templates import template
from mclu_shell.cloud.templates.runner import check_runnable
from mclu_shell.errors import TemplateError
from mclu_shell.units import format_size

_NO_PARAMETER = "no-such-parameter"


class Finding(NamedTuple):
    """A rule and what was found; it holds, or not, or the template leaves out (None) what the rule is about."""

    rule: str
    holds: bool | None
    detail: str = ""


# What a rule finds: a few words if it holds, None if the template leaves it out; TemplateError if it is broken.
_Check = Callable[[Path], str | None]


def check_template(path: Path) -> Iterator[Finding]:
    """Every rule of the contract, in the order in which an author meets them, without building anything."""
    for rule, check in _FIRST:
        finding = _find(rule, check, path)
        yield finding
        if not finding.holds:
            # Whatever else were asked would find the same.
            return
    for rule, check in _RULES:
        yield _find(rule, check, path)


def _find(rule: str, check: _Check, path: Path) -> Finding:
    try:
        found = check(path)
    except TemplateError as error:
        return Finding(rule, holds=False, detail="; ".join(filter(None, (error.fact, error.remedy))))
    return Finding(rule, None if found is None else True, found or "")


def _runs(path: Path) -> str:
    check_runnable(path)
    return ""


def _has_a_name(path: Path) -> str:
    template.check_name(path)
    return template.template_name(path)


def _probe(path: Path) -> str:
    template.check_probe(path)
    return ""


def _refuses_the_unknown(path: Path) -> str:
    if template.answer(path, _NO_PARAMETER) is not None:
        raise TemplateError(f"'{_NO_PARAMETER}' ends with exit status 0, not {template.UNKNOWN_PARAMETER}")
    return ""


def _size(parameter: str) -> _Check:
    def check(path: Path) -> str | None:
        size = template.read_size(path, parameter)
        return None if size is None else format_size(size)

    return check


def _choice(parameter: str, allowed: tuple[str, ...]) -> _Check:
    return lambda path: template.read_choice(path, parameter, allowed)


def _memory_agrees(path: Path) -> str | None:
    least, usual = template.read_size(path, "minimum-memory"), template.read_size(path, "recommended-memory")
    if least is None or usual is None:
        return None
    if usual < least:
        raise TemplateError(f"{format_size(usual)} is less than {format_size(least)}")
    return ""


def _xml(path: Path) -> str | None:
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
    given = {
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
    xml = template.answer(path, "xml", given)
    if xml is None:
        return None
    with_metadata(xml, sample)
    return ""


def _stands_alone(path: Path) -> str:
    """A build runs on a node, where there is nothing of its author's but the template itself."""
    with tempfile.TemporaryDirectory(prefix="mclu-") as elsewhere:
        copy = Path(shutil.copy(path, elsewhere))
        template.check_probe(copy)
        here, there = template.read_base_image(path), template.read_base_image(copy)
    if here != there:
        raise TemplateError(f"base-image is {here!r} here, and {there!r} where nothing else is")
    return ""


_FIRST: tuple[tuple[str, _Check], ...] = (
    ("it can be run", _runs),
    ("its name can be typed", _has_a_name),
    ("probe prints hello", _probe),
)
_RULES: tuple[tuple[str, _Check], ...] = (
    ("an unknown parameter ends with exit status 2", _refuses_the_unknown),
    ("base-image is the name of an image", template.read_base_image),
    ("minimum-memory is a size", _size("minimum-memory")),
    ("recommended-memory is a size", _size("recommended-memory")),
    ("recommended-memory is not below minimum-memory", _memory_agrees),
    ("minimum-size is a size", _size("minimum-size")),
    ("disk-bus is one that there is", _choice("disk-bus", template.DISK_BUSES)),
    ("network-model is one that there is", _choice("network-model", template.NETWORK_MODELS)),
    ("kernel-arguments are words on one line", template.read_kernel_arguments),
    ("xml is a libvirt domain with the guest's name", _xml),
    ("it needs no file beside it", _stands_alone),
)
