"""mclu with a prompt that logs the result of each line to a file: `observed.py FILE [ARG…]`."""

import json
import sys
from pathlib import Path
from typing import Any

from mclu_shell import cli
from mclu_shell.errors import MCluError
from mclu_shell.output.text_renderer import Renderer, as_text, printable
from mclu_shell.session.session import Session


def observe(file: Path) -> None:
    """Append the status, the output and the errors of each line of the prompt to a file, as JSON."""
    # cmd2 and rich replace sys.stdout for a time.
    stdout = sys.stdout
    output = {"out": "", "err": ""}
    run_text, show, show_error = Session.run_text, Renderer.show, Renderer.error

    def observed_show(self: Renderer, result: Any) -> None:
        if self.out is stdout:
            output["out"] += as_text(result)
        show(self, result)

    def observed_error(self: Renderer, error: MCluError, place: str = "") -> None:
        output["err"] += printable(f"mclu: {place}: {error}" if place else f"mclu: {error}", "\n") + "\n"
        show_error(self, error, place)

    def observed_run(self: Session, *texts: str) -> int:
        output.update(out="", err="")
        status = run_text(self, *texts)
        with file.open("a") as log:
            log.write(json.dumps({"status": status, **output}) + "\n")
        return status

    Session.run_text, Renderer.show, Renderer.error = observed_run, observed_show, observed_error  # type: ignore[method-assign]


if __name__ == "__main__":
    observe(Path(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    cli.run()
