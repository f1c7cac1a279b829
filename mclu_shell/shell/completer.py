"""The prompt's completer: candidates from `completion`, in prompt_toolkit's form."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

if TYPE_CHECKING:
    from mclu_shell.cloud.state.snapshot import Snapshot


class SnapshotCompleter(Completer):
    """Completes from the snapshot and the aliases of the moment; it asks no node."""

    def __init__(self, snapshot: Callable[[], "Snapshot"], aliases: Mapping[str, str]) -> None:
        self._snapshot = snapshot
        self._aliases = aliases

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """The candidates; a single one that is whole is finished with a blank, so that the next word can follow."""
        # The prompt comes first: what knows the commands is imported behind it (`live`).
        from mclu_shell.completion import complete

        text = document.text_before_cursor
        found = complete(text, self._snapshot(), self._aliases)
        is_alone = len(found.candidates) == 1 and not document.text_after_cursor
        for candidate in found.candidates:
            yield Completion(
                candidate.text + (" " if is_alone and candidate.is_complete else ""),
                start_position=found.start - len(text),
                display=candidate.display,
                display_meta=candidate.description,
            )
