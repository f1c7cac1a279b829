"""mclu in tests: the installed program, and sessions in this process."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.language.line import Variables
from mclu_shell.language.script import Script
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.session.session import Session

MCLU = Path(sys.executable).with_name("mclu")


@dataclass(frozen=True)
class Answer:
    """The exit status and the output of a line."""

    status: int
    out: str
    err: str


class InProcess:
    """A session in this process, whose calls return answers."""

    def __init__(self, cloud: Cloud, renderer: type[Renderer] = Renderer, **options: Any) -> None:
        self.cloud = cloud
        self._out, self._err = io.StringIO(), io.StringIO()
        self.session = Session(lambda: cloud, renderer(self._out, self._err), **options)

    def __call__(self, text: str) -> Answer:
        return self.answer(self.session.run_text(text))

    def script(self, text: str, name: str = "x.mclu") -> Answer:
        return self.answer(self.session.run_script(Script(name, text, Variables())))

    def answer(self, status: int) -> Answer:
        answer = Answer(status, self._out.getvalue(), self._err.getvalue())
        for stream in (self._out, self._err):
            stream.seek(0)
            stream.truncate()
        return answer

    @property
    def output(self) -> str:
        """The output of the line that runs."""
        return self._out.getvalue()

    @property
    def on(self) -> list[str]:
        """The nodes that `status` shows as on."""
        lines = self("status").out.splitlines()
        return [line.split()[0] for line in lines if line.endswith(" on")]
