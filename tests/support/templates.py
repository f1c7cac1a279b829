"""Template files."""

from pathlib import Path

_REQUIRED = {"probe": "echo hello", "base_image": "echo fedora-40"}


def template_text(**commands: str) -> str:
    """Return a template with a shell command for each parameter; an empty command leaves its parameter out."""
    cases = (
        f"{parameter.replace('_', '-')}) {command}\n;;\n"
        for parameter, command in (_REQUIRED | commands).items()
        if command
    )
    return f'#!/bin/sh\ncase "$1" in\n{"".join(cases)}*) exit 2;;\nesac\n'


def write_template(directory: Path, name: str, **commands: str) -> Path:
    """Write an executable template, as `template_text` returns it."""
    path = directory / f"{name}.template"
    path.write_text(template_text(**commands))
    path.chmod(0o755)
    return path
