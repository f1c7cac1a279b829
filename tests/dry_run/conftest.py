"""A simulated cloud for dry runs, with a template and a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dry_run.support import TEMPLATE
from tests.support.mclu import InProcess
from tests.support.templates import write_template


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a directory with the template `mine` and the file `kept`."""
    monkeypatch.setenv("MCLU_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("kept\n")
    write_template(tmp_path, "mine", **TEMPLATE)


@pytest.fixture
def dry_run(clouds: Callable[..., InProcess]) -> InProcess:
    """A dry run's session on the simulated cloud."""
    return clouds(is_dry=True)
