"""A simulated cloud for dry runs, and all of it that a line could change."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.errors import SSHRefused
from tests.conftest import Answer, InProcess

TEMPLATE = """\
#!/bin/sh
case $1 in
probe) echo hello ;;
base-image) echo nothing ;;
minimum-memory) echo 64M ;;
build) qemu-img create -q -f qcow2 "$output" 64K ;;
*) exit 2 ;;
esac
"""
IMAGES = re.compile(r"/\S*/(ham\d)\b")


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a template, and a file."""
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("kept\n")
    (tmp_path / "mine.template").write_text(TEMPLATE)
    (tmp_path / "mine.template").chmod(0o755)


@pytest.fixture
def dry(clouds: Callable[..., InProcess]) -> InProcess:
    """A dry run's session on the simulated cloud."""
    return clouds(is_dry=True)


def everything(cloud: Cloud, *directories: Path) -> object:
    """Return all that a line could change: nodes, guests, their definitions, and files."""
    guests = [(outcome.value, str(outcome.error)) for outcome in cloud.query(lambda node: node.fetch_guests())]
    definitions = cloud.query(lambda node: node.query(lambda client: client.fetch_definitions()))
    images = [Path(node.config.images) for node in cloud.nodes]
    files = [file for directory in (*images, *directories) for file in [directory, *directory.rglob("*")]]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    return guests, [outcome.value for outcome in definitions], sorted(stats)


def told(answer: Answer) -> tuple[int, str, str]:
    """What is said, whatever directory a cloud has."""
    return answer.status, *(IMAGES.sub(r"…/\1", text) for text in (answer.out, answer.err))  # type: ignore[return-value]


def refuse(*_given: object, **_options: object) -> None:
    """Stand in for what a machine is asked that is there and does not let us in."""
    raise SSHRefused("ssh: permission denied for root", place="ham1")
