"""The demo's session with JSON output, and one with text output."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.command import Prompt
from mclu_shell.output.json_renderer import JSONRenderer
from mclu_shell.output.results import Entry, Result, Row, Table, Text
from mclu_shell.session.interaction import Interaction
from tests.conftest import Answer, InProcess
from tests.json.schema_check import Object

Program = Callable[..., Answer]
TEMPLATE = """\
#!/bin/sh
case $1 in
  probe) echo hello;; base-image) echo fedora-40;; minimum-memory) echo 1M;;
  build) : >"$output"; echo 'note: remember me';; *) exit 2;;
esac
"""


class Strict(JSONRenderer):
    """A renderer that counts results without a record, such as headings."""

    headings = 0

    def show(self, result: Result) -> None:
        if not (isinstance(result, Text | Entry | Table) and has_data(result)):
            Strict.headings += 1
        super().show(result)


def has_data(shown: Text | Entry | Table | Row) -> bool:
    return shown.data is not None or (isinstance(shown, Table) and all(map(has_data, shown.rows)))


def interaction() -> Interaction:
    prompt = Prompt(lambda: ["status", "list; help"], {"st": "status"}, {"alerts": "on"}, list)
    return Interaction(prompt=prompt)


@pytest.fixture
def asked(clouds: Callable[..., InProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """Return the demo's session with JSON output, a prompt, a template `mine`, and a broken one, `old`."""
    directory = tmp_path / "templates"
    directory.mkdir()
    for name, mode in (("mine", 0o755), ("old", 0o644)):
        (directory / f"{name}.template").write_text(TEMPLATE)
        (directory / f"{name}.template").chmod(mode)
    monkeypatch.setenv("MCLU_PATH", str(directory))
    monkeypatch.setattr(Strict, "headings", 0)
    asked = clouds(renderer=Strict)
    asked.session.interaction = interaction()
    return asked


@pytest.fixture
def plain(clouds: Callable[..., InProcess]) -> InProcess:
    """Return the same session with text output."""
    plain = clouds()
    plain.session.interaction = interaction()
    return plain


def words_of(errors: list[Object]) -> list[str]:
    return [error["error"] for error in errors]
