"""The prompt's completer: candidates from `completion`, in prompt_toolkit's form."""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

if TYPE_CHECKING:
    from mclu_shell.cloud.state import Snapshot

# By then the prompt is there, and nobody has yet typed what could be completed.
_WARM_UP_AFTER_S = 0.4


class SnapshotCompleter(Completer):
    """Completes from the snapshot of the moment; it asks no node."""

    def __init__(self, snapshot: Callable[[], "Snapshot"]) -> None:
        self._snapshot = snapshot
        # The prompt comes first: what knows the commands is imported behind it, lest the first Tab waits for that.
        timer = threading.Timer(_WARM_UP_AFTER_S, _warm_up)
        timer.daemon = True
        timer.start()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """The candidates; a single one that is whole is finished with a blank, so that the next word can follow."""
        from mclu_shell.completion import complete

        text = document.text_before_cursor
        found = complete(text, self._snapshot())
        is_alone = len(found.candidates) == 1 and not document.text_after_cursor
        for candidate in found.candidates:
            yield Completion(
                candidate.text + (" " if is_alone and candidate.is_whole else ""),
                start_position=found.start - len(text),
                display=candidate.shown,
                display_meta=candidate.about,
            )


def _warm_up() -> None:
    from mclu_shell.completion import prepare

    prepare()
