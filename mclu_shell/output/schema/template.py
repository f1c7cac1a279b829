"""Records of templates and of the rules that they must follow."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from mclu_shell.cloud.templates.template import Template


@dataclass(frozen=True, slots=True)
class TemplateRecord(Record):
    """A template with its settings, which are null if not given or if the template is broken."""

    PLURAL: ClassVar = "templates"

    name: Annotated[str, "name of the template"]
    path: Annotated[str, "path of its file"]
    is_broken: Annotated[bool, "true if it cannot be used; details are in `errors`"] = False
    base_image: Annotated[str | None, "base image, as virt-builder names it"] = None
    minimum_memory_bytes: Annotated[int | None, "minimum memory of a guest"] = None
    recommended_memory_bytes: Annotated[int | None, "default memory of a guest"] = None
    minimum_size_bytes: Annotated[int | None, "minimum disk size of a guest"] = None
    disk_bus: Annotated[str | None, "`ide`, `virtio` or `virtio-scsi`"] = None
    network_model: Annotated[str | None, "`e1000` or `virtio`"] = None
    kernel_arguments: Annotated[str | None, "kernel command line, if the build provides a kernel"] = None


@dataclass(frozen=True, slots=True)
class Rule(Record):
    """The result of checking a template against one rule."""

    PLURAL: ClassVar = "rules"

    rule: Annotated[str, "the rule"]
    holds: Annotated[bool | None, "true if the template follows it; null if it does not give the optional value"]
    detail: Annotated[str | None, "value or fault that was found"]


def template_record(template: "Template") -> TemplateRecord:
    """Return the record of a valid template."""
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
    """Return the record of a template that cannot be used."""
    return TemplateRecord(name, str(path), is_broken=True)
