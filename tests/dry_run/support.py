"""The state that a dry run must not change, and comparable results of runs."""

import re
from pathlib import Path

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.errors import SSHRefused
from tests.support.mclu import Answer

# The parameters of a template, beside those that all templates need.
TEMPLATE = {
    "base_image": "echo nothing",
    "minimum_memory": "echo 64M",
    "build": 'qemu-img create -q -f qcow2 "$output" 64K',
}
# Each simulated cloud has temporary directories of its own.
IMAGES = re.compile(r"/\S*/(ham\d)\b")


def fetch_everything(cloud: Cloud, *directories: Path) -> object:
    """Return all that a line could change: nodes, guests, their definitions, and files."""
    guests = [(outcome.value, str(outcome.error)) for outcome in cloud.query(lambda node: node.fetch_guests())]
    definitions = cloud.query(lambda node: node.query(lambda client: client.fetch_definitions()))
    images = [Path(node.config.images) for node in cloud.nodes]
    files = [file for directory in (*images, *directories) for file in [directory, *directory.rglob("*")]]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    return guests, [outcome.value for outcome in definitions], sorted(stats)


def without_paths(answer: Answer) -> tuple[int, str, str]:
    """Return the exit status, output and errors, without the paths of the cloud's temporary directories."""
    return answer.status, IMAGES.sub(r"…/\1", answer.out), IMAGES.sub(r"…/\1", answer.err)


def refuse_login(*_arguments: object, **_options: object) -> None:
    """Replace `Node.query` of a node that is on and refuses the login."""
    raise SSHRefused("ssh: permission denied for root", place="ham1")
