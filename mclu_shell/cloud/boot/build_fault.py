"""Faults of a build that are the template's own, in the words of its author."""

from collections.abc import Sequence

from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.templates.query import UNKNOWN_PARAMETER
from mclu_shell.errors import TemplateError

# The first bytes of files that a build may make instead of qcow2.
_SIGNATURES = {
    "514649fb00000001": "a qcow image of version 1",
    "514649fb": "a damaged qcow2 image",
    "4b444d56": "a VMDK image",
    "3c3c3c20": "a VDI image",
    "7668647866696c65": "a VHDX image",
    "51454400": "a QED image",
    "1f8b": "a file compressed with gzip",
    "fd377a58": "a file compressed with xz",
    "28b52ffd": "a file compressed with zstd",
    "425a68": "a file compressed with bzip2",
    "504b0304": "a ZIP archive",
}


def template_fault(guest: DomainSpec, event: str, detail: str, tail: Sequence[str]) -> TemplateError | None:
    """Return the fault of the template that an event of the build script shows; None for other events."""
    if event == "format":
        return TemplateError(
            f"the build made {_describe(detail)} instead of {guest.disk_format} (build output was removed)",
            place=guest.template,
            remedy='make it in the format $format: qemu-img convert -O "$format" IMAGE "$output"',
        )
    if event == "chain":
        reason = detail.removeprefix("qemu-img: ") or "no answer from qemu-img"
        return TemplateError(
            f"cannot read the disk and its backing files after the build: {reason} (build output was removed)",
            place=guest.template,
            remedy='write a disk without backing file: qemu-img convert -O "$format" IMAGE "$output"',
        )
    if event == "dangling":
        return TemplateError(
            f"the build made {detail} a link to a file that does not exist after it (build output was removed)",
            place=guest.template,
            remedy="write the file itself; the build's working directory is removed",
        )
    if event == "failed" and detail == str(UNKNOWN_PARAMETER) and not tail:
        return TemplateError("'build' is not supported", place=guest.template)
    return None


def _describe(header: str) -> str:
    """Return a description of a file by its first eight bytes in hexadecimal."""
    if not header:
        return "an empty file"
    return next((text for start, text in _SIGNATURES.items() if header.startswith(start)), "a raw image")
