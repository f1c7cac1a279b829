"""Nodes of libvirt's test driver."""

from pathlib import Path


def write_node(directory: Path, name: str, *domains: str) -> str:
    """Write a node with these domains, and return its line for mclu.conf.

    The format of the file is that of libvirt's test driver (https://libvirt.org/drvtest.html).
    """
    file = directory / f"{name}.xml"
    file.write_text(f"<node>{''.join(domains)}</node>")
    return f"{name} via=local uri=test://{file}"
