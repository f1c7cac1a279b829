"""The columns of templates in `list`."""

from pathlib import Path

from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.templates.template import Template, template_name
from mclu_shell.output.tables.column import Column, Columns
from mclu_shell.units import format_size

ReadTemplate = Outcome[Path, Template]


def _size(template: Template | None, name: str) -> int:
    return getattr(template, f"{name}_bytes") or 0 if template else 0


def _size_column(name: str, attribute: str) -> Column[ReadTemplate]:
    def cell(item: ReadTemplate) -> str:
        size = _size(item.value, attribute)
        return format_size(size) if size else ""

    return Column(name, cell, lambda item: _size(item.value, attribute), is_number=True)


TEMPLATE_COLUMNS: Columns[ReadTemplate] = (
    Column("template", lambda item: template_name(item.item)),
    Column(
        "image",
        lambda item: item.value.base_image if item.value else "broken template",
        tone=lambda item: "plain" if item.value else "bad",
    ),
    _size_column("memory", "recommended_memory"),
    _size_column("min-memory", "minimum_memory"),
    _size_column("min-size", "minimum_size"),
)
