"""What destroying guests would take away, and what it would leave, remembered for the lines after it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mclu_shell.cloud.destroy import Elsewhere, Gone, Remains, ask_elsewhere, find_remains, need_all_asked
from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.guestfiles import Definition
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import gather
from mclu_shell.cloud.planned import Planned
from mclu_shell.cloud.rehearsal import Rehearsal
from mclu_shell.errors import MCluError
from mclu_shell.units import format_size


def rehearse_destroy(
    rehearsal: Rehearsal, found: Sequence[tuple[Node, Guest]], *, is_asked: bool
) -> Iterator[Planned | MCluError]:
    """Tell for each guest what would be deleted; `is_asked` if a person would decide."""
    asked = ", if you say yes" if is_asked else ""
    real = [(node, guest) for node, guest in found if not rehearsal.is_made(guest)]
    for _, guest in found:
        if rehearsal.is_made(guest):
            rehearsal.goes(guest, ())
            yield Planned("destroy", guest.node, guest.name, f"with what its boot would have made{asked}")
    elsewhere = _without_gone(rehearsal, ask_elsewhere(rehearsal, [guest for _, guest in real]))
    outcomes = gather(real, lambda one: _remains(rehearsal, *one, elsewhere, is_asked=is_asked))
    for outcome in outcomes:
        _, guest = outcome.item
        if outcome.error is not None:
            yield outcome.error
            continue
        remains = outcome.unwrap()
        rehearsal.goes(guest, [file for file, _ in remains.delete])
        yield _planned(guest, remains, asked)
    yield from elsewhere.faults


def _without_gone(rehearsal: Rehearsal, elsewhere: Elsewhere) -> Elsewhere:
    def left(node: Node, there: Mapping[str, Definition]) -> dict[str, Definition]:
        gone = rehearsal.gone(node)
        return {uuid: definition for uuid, definition in there.items() if uuid not in gone}

    return replace(elsewhere, guests=tuple((node, left(node, there)) for node, there in elsewhere.guests))


def _remains(rehearsal: Rehearsal, node: Node, guest: Guest, elsewhere: Elsewhere, *, is_asked: bool) -> Remains:
    if not is_asked:
        need_all_asked(node, guest, elsewhere)
    return find_remains(node, guest, elsewhere, gone=Gone(rehearsal.gone(node), rehearsal.gone_files(node)))


def _planned(guest: Guest, remains: Remains, asked: str) -> Planned:
    how = f"{guest.state}, {format_size(remains.size_bytes)} on disk{asked}"
    delete = [f"would delete {file} ({format_size(size)})" for file, size in remains.delete]
    leave = [f"would keep {file} ({why})" for file, why in remains.leave]
    return Planned("destroy", guest.node, guest.name, how, (*delete, *leave))
