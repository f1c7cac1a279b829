"""mclu, whose prompt tells besides into a file what came of each line: `observed.py FILE [ARG…]`."""

import json
import sys
from pathlib import Path
from typing import Any

from mclu_shell import cli
from mclu_shell.errors import MCluError
from mclu_shell.output.text_renderer import Renderer, as_text, printable
from mclu_shell.session.session import Session


def observe(file: Path) -> None:
    """Add to the file, for each line of the prompt, its status, its answers and its errors."""
    # Others take its place while the prompt stands, or a progress is shown.
    out = sys.stdout
    said = {"out": "", "err": ""}
    run_text, show, error = Session.run_text, Renderer.show, Renderer.error

    def observed_show(self: Renderer, result: Any) -> None:
        if self.out is out:
            said["out"] += as_text(result)
        show(self, result)

    def observed_error(self: Renderer, fault: MCluError, place: str = "") -> None:
        said["err"] += printable(f"mclu: {place}: {fault}" if place else f"mclu: {fault}", "\n") + "\n"
        error(self, fault, place)

    def observed_run(self: Session, *texts: str) -> int:
        said.update(out="", err="")
        status = run_text(self, *texts)
        with file.open("a") as told:
            told.write(json.dumps({"status": status, **said}) + "\n")
        return status

    Session.run_text, Renderer.show, Renderer.error = observed_run, observed_show, observed_error  # type: ignore[method-assign]


if __name__ == "__main__":
    observe(Path(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    cli.run()
