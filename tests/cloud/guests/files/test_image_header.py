"""The headers of images, which qemu-img has made, then broken."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.files.image_header import read_backing_name

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def header(tmp_path: Path, kind: str, *options: str) -> bytes:
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", kind, *options, image, "1M"], check=True)
    return image.read_bytes()[:65536]


@pytest.mark.parametrize("kind", ["qcow2", "qcow", "qed"])
def test_the_name_is_in_the_header(tmp_path: Path, kind: str) -> None:
    head = header(tmp_path, kind, "-F", "raw", "-b", "/a/bäse")
    assert read_backing_name(head, 1 << 20) == "/a/bäse"
    head = header(tmp_path, kind)
    assert read_backing_name(head, 1 << 20) == ""


@pytest.mark.parametrize("kind", ["qcow2", "qed"])
def test_a_cut_header_names_no_file(tmp_path: Path, kind: str) -> None:
    head = header(tmp_path, kind, "-F", "raw", "-b", "/base")
    for length in (4, 11, 19, 40, 63):
        assert read_backing_name(head[:length], length) == ""


def test_a_name_beyond_the_first_bytes_is_unknown(tmp_path: Path) -> None:
    head = header(tmp_path, "qcow2", "-F", "raw", "-b", "/base")
    assert read_backing_name(head[:100], 1 << 20) is None


def test_unknown_features_versions_and_formats_are_not_decided(tmp_path: Path) -> None:
    head = header(tmp_path, "qcow2", "-F", "raw", "-b", "/base")
    for position, value in ((7, 4), (79, 4), (72, 1)):
        broken = bytearray(head)
        broken[position] = value
        assert read_backing_name(bytes(broken), 1 << 20) is None
    assert read_backing_name(b"KDMV" + bytes(508), 1 << 20) is None
    head = header(tmp_path, "qed", "-F", "raw", "-b", "/base")
    assert read_backing_name(head[:23] + b"\x80" + head[24:], 1 << 20) is None
