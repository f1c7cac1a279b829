"""Fixtures of the tests of destroy: a guest with disks on one of two nodes."""

from pathlib import Path

import pytest

from tests.lab.support.destroy import boot
from tests.lab.support.guests import BUILD, template
from tests.lab.support.lab import RealLab


@pytest.fixture
def templates(templates: Path) -> Path:
    """The directory of templates; `quick` also makes a seed and a kernel beside the disk."""
    template(templates, "quick", build=f'{BUILD}\ntruncate -s 64K "$output.seed"; echo >"$output.kernel"')
    return templates


@pytest.fixture
def web(lab: RealLab, templates: Path) -> RealLab:
    """The lab with the guest web running on ham0."""
    boot(lab)
    return lab
