"""Directories of $MCLU_PATH that cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mclu import Answer, InProcess

REPOSITORY = Path(__file__).parents[3]
SHIPPED = REPOSITORY / "templates"


@pytest.fixture
def missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the warning about a missing directory, which is the first of $MCLU_PATH."""
    monkeypatch.setenv("MCLU_PATH", f"{tmp_path}/nosuch:{SHIPPED}")
    return f"mclu: {tmp_path}/nosuch: cannot read the directory: No such file or directory; correct MCLU_PATH\n"


@pytest.mark.parametrize("line", ["list --templates", "template show tiny", "template check tiny", "boot empty new"])
def test_a_missing_directory_is_a_warning(demo: InProcess, missing: str, line: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.err) == (0, missing)


def test_a_dry_run_warns_about_a_missing_directory(clouds: Callable[..., InProcess], missing: str) -> None:
    dry = clouds(is_dry=True)
    assert dry("boot empty new").err == missing


def test_the_error_of_an_unknown_template_names_a_missing_directory(demo: InProcess, missing: str) -> None:
    answer = demo("boot mine new")
    assert answer.status == 1
    place = missing.removeprefix("mclu: ").removesuffix("; correct MCLU_PATH\n")
    assert answer.err.endswith(f"; {place}\n")


def test_a_file_in_the_place_of_a_directory_is_a_warning(
    demo: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MCLU_PATH", str(tmp_path / "file"))
    expected = f"mclu: {tmp_path}/file: cannot read the directory: Not a directory; correct MCLU_PATH\n"
    assert demo("list --templates") == Answer(0, "", expected)


def test_an_unknown_user_in_a_path_is_a_missing_directory(
    demo: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCLU_PATH", "~nosuchuser/templates")
    assert f"{tmp_path}/~nosuchuser/templates: cannot read the directory: " in demo("list --templates").err
