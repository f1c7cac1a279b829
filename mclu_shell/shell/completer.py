"""The completer of the prompt, in prompt_toolkit's interface."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

if TYPE_CHECKING:
    from mclu_shell.cloud.state.snapshot import Snapshot


class CommandCompleter(Completer):
    """Completes mclu's command lines from the current snapshot and aliases; it queries no node."""

    def __init__(self, snapshot: Callable[[], "Snapshot"], aliases: Mapping[str, str]) -> None:
        self._snapshot = snapshot
        self._aliases = aliases

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """Yield the candidates; append a blank to a single complete one."""
        # NodeMonitor imports all commands in the background, after the first prompt.
        from mclu_shell.completion import complete

        text = document.text_before_cursor
        completions = complete(text, self._snapshot(), self._aliases)
        is_single = len(completions.candidates) == 1 and not document.text_after_cursor
        for candidate in completions.candidates:
            yield Completion(
                candidate.text + (" " if is_single and candidate.is_complete else ""),
                start_position=completions.start - len(text),
                display=candidate.display,
                display_meta=candidate.description,
            )
