"""KVM in labs: a /dev/kvm that cannot be used is hidden."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.lab import REPOSITORY, RealLab

EMULATOR = """#!/bin/sh
echo >>"{runs}"
case "$*" in *"-accel kvm"*) {kvm} ;; esac
echo "No bootable device."
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that records runs of the stand-in for the emulator, which is in `tmp_path`."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    from labkit import kvm

    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    yield tmp_path / "runs"
    for name in [name for name in sys.modules if name.partition(".")[0] == "labkit"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("behaviour", "is_usable", "is_kept"),
    [(":", True, False), ("sleep 0.5", True, False), ("exit 1", False, False), ("exit 0", False, False),
     ("sleep 9", False, True)],
)  # fmt: skip
def test_kvm_is_usable_if_the_firmware_finishes(
    runs: Path, tmp_path: Path, behaviour: str, is_usable: bool, is_kept: bool
) -> None:
    from labkit import kvm

    emulator = tmp_path / kvm.EMULATOR
    emulator.write_text(EMULATOR.format(runs=runs, kvm=behaviour))
    emulator.chmod(0o755)
    for _ in range(2):
        before = runs.read_text() if runs.exists() else ""
        assert kvm.is_usable(tmp_path) == is_usable
    # A slow result is cached for all labs.
    assert (runs.read_text() == before) == is_kept
    (tmp_path / ".kvm").write_text("another boot")
    assert kvm.is_usable(tmp_path) == is_usable
    (tmp_path / "kvm").unlink()
    assert not kvm.is_usable(tmp_path)


def test_a_node_has_kvm_that_works_or_none(lab: RealLab) -> None:
    config = (lab.path / "mclu.conf").read_text()
    offers_kvm = lab.run("virsh", "domcapabilities", "--virttype", "kvm", node="ham0").returncode == 0
    assert offers_kvm == ("accel=tcg" not in config)
    if Path("/dev/kvm").exists() and not offers_kvm:
        seen = lab.run("stat", "-c", "%F", "/dev/kvm", node="ham0").stdout
        assert seen == "regular empty file\n"
        assert "Read-only file system" in lab.run("sh", "-c", "echo >/dev/kvm", node="ham0").stderr
    # The host keeps its own /dev/kvm.
    if Path("/dev/kvm").exists():
        assert Path("/dev/kvm").is_char_device()
