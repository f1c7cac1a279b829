"""Templates, and the rules for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from mclu_shell.cloud.templates.template import Template


@dataclass(frozen=True, slots=True)
class TemplateRecord(Record):
    """What a template says of itself; null is what it leaves out, and all of it for one that is broken."""

    PLURAL: ClassVar = "templates"

    name: Annotated[str, "by which it is booted"]
    path: Annotated[str, "its file"]
    is_broken: Annotated[bool, "whether it breaks the rules; `errors` has how"] = False
    base_image: Annotated[str | None, "the image that it builds, in virt-builder's naming"] = None
    minimum_memory_bytes: Annotated[int | None, "memory that a guest of it needs"] = None
    recommended_memory_bytes: Annotated[int | None, "memory that a guest of it gets where nothing else is said"] = None
    minimum_size_bytes: Annotated[int | None, "size of the disk that a guest of it needs"] = None
    disk_bus: Annotated[str | None, "`ide`, `virtio` or `virtio-scsi`"] = None
    network_model: Annotated[str | None, "`e1000` or `virtio`"] = None
    kernel_arguments: Annotated[str | None, "what its kernel is told, if its build makes one beside the disk"] = None


@dataclass(frozen=True, slots=True)
class Rule(Record):
    """A rule for templates, and whether one keeps it."""

    PLURAL: ClassVar = "rules"

    rule: Annotated[str, "what should hold"]
    holds: Annotated[bool | None, "whether it does; null if the template leaves out what the rule is about"]
    detail: Annotated[str | None, "what was found"]


def template_record(template: "Template") -> TemplateRecord:
    """A template that keeps the rules."""
    return TemplateRecord(
        template.name,
        str(template.path),
        base_image=template.base_image,
        minimum_memory_bytes=template.minimum_memory_bytes,
        recommended_memory_bytes=template.recommended_memory_bytes,
        minimum_size_bytes=template.minimum_size_bytes,
        disk_bus=template.disk_bus,
        network_model=template.network_model,
        kernel_arguments=template.kernel_arguments,
    )


def broken_template_record(name: str, path: "Path") -> TemplateRecord:
    """One that does not, so that nothing else is known of it."""
    return TemplateRecord(name, str(path), is_broken=True)
