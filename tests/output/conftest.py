"""Sessions on the demo with JSON output and with text output."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.command import Prompt
from mclu_shell.session.interaction import Interaction
from tests.output.schema_check import Strict
from tests.support.mclu import InProcess
from tests.support.templates import write_template


def interaction() -> Interaction:
    prompt = Prompt(lambda: ["status", "list; help"], {"st": "status"}, {"alerts": "on"}, list)
    return Interaction(prompt=prompt)


@pytest.fixture
def json_demo(clouds: Callable[..., InProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """A session on the demo with JSON output, a prompt, a template `mine`, and one that is not executable, `old`."""
    directory = tmp_path / "templates"
    directory.mkdir()
    for name, mode in (("mine", 0o755), ("old", 0o644)):
        write_template(directory, name, minimum_memory="echo 1M", build=': >"$output"; echo "note: remember me"').chmod(
            mode
        )
    monkeypatch.setenv("MCLU_PATH", str(directory))
    monkeypatch.setattr(Strict, "headings", 0)
    session = clouds(renderer=Strict)
    session.session.interaction = interaction()
    return session


@pytest.fixture
def text_demo(clouds: Callable[..., InProcess]) -> InProcess:
    """The same session with text output."""
    session = clouds()
    session.session.interaction = interaction()
    return session
