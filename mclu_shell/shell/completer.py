"""The completer of the prompt, in prompt_toolkit's interface."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from mclu_shell.errors import MCluError
from mclu_shell.system_faults import translated

if TYPE_CHECKING:
    from mclu_shell.cloud.state.snapshot import Snapshot
    from mclu_shell.completion import Completions


class CommandCompleter(Completer):
    """Completes mclu's command lines from the current snapshot and aliases; it queries no node."""

    def __init__(self, snapshot: Callable[[], "Snapshot"], aliases: Mapping[str, str]) -> None:
        self._snapshot = snapshot
        self._aliases = aliases

    def _complete(self, text: str) -> "Completions":
        """Return the candidates; none if they cannot be looked up, because prompt_toolkit would print a traceback."""
        # The background imports all commands after the first prompt.
        from mclu_shell.completion import Completions, complete

        try:
            with translated():
                return complete(text, self._snapshot(), self._aliases)
        except MCluError:
            # A command reports the error when it runs.
            return Completions(len(text), ())

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """Yield the candidates; append a blank to a single complete one."""
        text = document.text_before_cursor
        completions = self._complete(text)
        is_single = len(completions.candidates) == 1 and not document.text_after_cursor
        for candidate in completions.candidates:
            yield Completion(
                candidate.text + (" " if is_single and candidate.is_complete else ""),
                start_position=completions.start - len(text),
                display=candidate.display,
                display_meta=candidate.description,
            )
