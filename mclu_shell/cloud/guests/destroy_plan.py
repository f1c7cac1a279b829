"""Selection of the files that are deleted with a guest. It needs no I/O beyond the survey."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import NamedTuple

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.guests.files.file_uses import FileUse
from mclu_shell.cloud.guests.files.selection import NO_LONGER_USED, Selection, backing_of, unproven_files
from mclu_shell.cloud.guests.leaving import GuestKey, Leaving
from mclu_shell.cloud.guests.survey import NodeSurvey, Survey
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    is_default_nvram,
    is_named_by_libvirt,
    memory_files,
    nvram_files,
    overlay_files,
    own_files,
    own_logs,
    referenced_files,
)
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import NotFound, Refused


class DestroyPlan(NamedTuple):
    """Files to delete with their sizes in bytes, files to keep with the reasons, and the rest that goes with a guest.

    `state` names what libvirt deletes, for example "snapshot one"; it keeps the state of a TPM if `keeps_tpm`. `nvram`
    is the one file of `delete` that libvirt can delete, too. `logs` are console logs with their sizes, beside which
    libvirt keeps rotated logs; a log that cannot be deleted is not an error. `keys` has device and inode of each file
    to delete.
    `shared` are files to delete that other machines may have open. `unchecked` are the nodes that must be queried
    before more can be deleted. `after` are the guests that must be destroyed before, as they need the files.
    """

    delete: tuple[tuple[str, int], ...]
    keep: tuple[tuple[str, str], ...]
    logs: tuple[tuple[str, int], ...] = ()
    state: tuple[str, ...] = ()
    nvram: str = ""
    keeps_tpm: bool = False
    keys: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()
    unchecked: tuple[str, ...] = ()
    after: frozenset[GuestKey] = frozenset()

    @property
    def all_deleted(self) -> tuple[tuple[str, int], ...]:
        """The files to delete with their sizes in bytes, console logs included."""
        return (*self.delete, *self.logs)

    @property
    def size_bytes(self) -> int:
        """Disk space that is freed."""
        return sum(size for _, size in self.delete)

    @property
    def state_with_nvram(self) -> tuple[str, ...]:
        """Names of all that libvirt deletes with the guest."""
        return (*self.state, *((f"NVRAM {self.nvram}",) if self.nvram else ()))

    def keeping(self, reasons: Mapping[str, str]) -> "DestroyPlan":
        """Return the plan without the deletion of some files, which are kept for these reasons."""
        kept = [(file, key) for (file, _), key in zip(self.delete, self.keys, strict=True) if file not in reasons]
        names = {file for file, _ in kept}
        return self._replace(
            delete=tuple((file, size) for file, size in self.delete if file in names),
            keys=tuple(key for _, key in kept),
            keep=(*self.keep, *((file, why) for file, why in reasons.items() if file not in dict(self.keep))),
            nvram="" if self.nvram in reasons else self.nvram,
        )


def plan_destroy(
    survey: Survey, guest: Guest, confirmed: DestroyPlan | None = None, leaving: Leaving | None = None
) -> DestroyPlan:
    """Choose the files to delete: those that mclu or snapshots made for the guest and that nothing else needs.

    With `confirmed`, keep every file that is not deleted by that plan. `leaving` are the guests that are destroyed
    before. Raise NotFound if the guest is gone, or the error of its node.
    """
    if guest.node in survey.errors:
        raise survey.errors[guest.node]
    here = survey.nodes[guest.node]
    own = here.definitions.get(guest.uuid)
    removed = survey.removals(guest.node)
    if own is None or guest.uuid in removed.guests:
        raise NotFound(f"{guest.name} no longer exists", place=guest.node)
    users = _Users(survey, here, guest, leaving or Leaving(), set())
    selection = Selection(own, here.files, _made_files(own, here.files), users.find)
    selection.keep(_obstacles(survey, selection, guest, confirmed))
    selection.keep_foreign_files()
    selection.keep_needed_files()
    unchecked = selection.keep_shared_files(survey.unchecked(guest.node))
    selection.keep_needed_files()
    if not own.is_active:
        selection.keep_open_files(here.opened)
    logs = {log: users.find(log) for log in _existing_logs(own, here.files)}
    selection.keep({log: why for log, why in logs.items() if why})
    plan = _plan(selection)._replace(
        logs=tuple((log, here.files.sizes.get(log, 0)) for log, why in logs.items() if not why),
        unchecked=unchecked,
        after=frozenset(users.before),
    )
    if plan.keeps_tpm and not own.can_keep_tpm:
        raise Refused(
            f"cannot destroy {guest.name}: libvirt before 8.9 would delete the state of its TPM, which must be kept",
            place=guest.node,
            remedy=f"copy /var/lib/libvirt/swtpm/{guest.uuid}, then on the node: virsh undefine {quote(guest.name)}",
        )
    return plan


@dataclass(frozen=True, slots=True)
class _Users:
    """The users of a guest's files; `before` collects the guests that have to be destroyed before it."""

    survey: Survey
    here: NodeSurvey
    guest: Guest
    leaving: Leaving
    before: set[GuestKey]

    def find(self, file: str) -> str:
        """Return the reason to keep a file that others need; empty if they do not."""
        known = self.here.files.ids.get(file)
        if known is None:
            return self._find_by_path(file)
        for node, use in self.survey.find_uses(self.guest.node, file, known):
            if (node, use.uuid) != (self.guest.node, self.guest.uuid) and not self._ends(node, use):
                return self._describe(node, use)
        removed = self.survey.removals(self.guest.node).files
        images = [image for image in self.here.overlays.get(known.key, ()) if image not in removed]
        if images and images[0] in self.here.files.undecoded:
            return f"{images[0]} may need it: cannot decode the name of its backing file"
        return backing_of(images[0]) if images else ""

    def _find_by_path(self, file: str) -> str:
        """Return the same for a file that the login cannot see, such as a console log."""
        ignored = {self.guest.uuid, *self.survey.removals(self.guest.node).guests}
        uses = (use for use in self.here.uses.find_path(file) if use.uuid not in ignored)
        left = next((use for use in uses if not self._ends(self.guest.node, use)), None)
        return self._describe(self.guest.node, left) if left else ""

    def _describe(self, node: str, use: FileUse) -> str:
        place = "" if node == self.guest.node else f"{node}:"
        names = self.survey.nodes[node].files.find_names(use.source)
        # The guest goes, but a file stays that needs this one.
        if (node, use.uuid) in self.leaving.guests and names:
            return backing_of(f"{place}{names[0]}")
        return f"{place}{use.guest} uses it"

    def _ends(self, node: str, use: FileUse) -> bool:
        enders = self.leaving.find_enders(node, use)
        self.before.update(ender for ender in enders if ender != (self.guest.node, self.guest.uuid))
        return bool(enders)


def find_users(survey: Survey, guest: Guest) -> frozenset[GuestKey]:
    """Return the other guests that use files which mclu made for a guest."""
    here = survey.nodes.get(guest.node)
    own = here.definitions.get(guest.uuid) if here else None
    if here is None or own is None:
        return frozenset()
    files = (*_made_files(own, here.files), *own_logs(own.xmls[0]))
    made = [(file, here.files.ids[file]) for file in files if file in here.files.ids]
    users = {(node, use.uuid) for file, known in made for node, use in survey.find_uses(guest.node, file, known)}
    users |= {(guest.node, use.uuid) for log in own_logs(own.xmls[0]) for use in here.uses.find_path(log)}
    return frozenset(users - {(guest.node, guest.uuid)})


def _obstacles(survey: Survey, selection: Selection, guest: Guest, confirmed: DestroyPlan | None) -> dict[str, str]:
    """Return the reasons to keep files that do not depend on what needs them."""
    duplicate = survey.describe_duplicate(guest)
    reasons = dict.fromkeys(selection.made, duplicate) if duplicate else {}
    replaced = dict.fromkeys(unproven_files(selection.own, selection.files), NO_LONGER_USED)
    reasons = _unconfirmed(selection.made, confirmed) | replaced | selection.files.obstacles | reasons
    return {file: reasons[file] for file in selection.existing if file in reasons}


def _unconfirmed(made: Iterable[str], confirmed: DestroyPlan | None) -> dict[str, str]:
    """Return the reasons to keep files that the user has not agreed to delete."""
    if confirmed is None:
        return {}
    deleted, kept = dict(confirmed.delete), dict(confirmed.keep)
    return {file: kept.get(file, "made after the confirmation") for file in made if file not in deleted}


def _made_files(own: DomainDefinition, files: DiskFiles) -> tuple[str, ...]:
    """Return the files that mclu made for a guest and the snapshots of them; none if mclu did not make the guest.

    A snapshot can use an existing file. So an overlay counts only if libvirt chose its name: a file that the user
    named may have been made by the user.
    """
    own_disks = own_files(own.xmls[0])
    if not own_disks:
        return ()
    # mclu makes no symbolic links: the target of one is not mclu's.
    unproven = unproven_files(own, files)
    proven = [file for file in own_disks if file not in unproven]
    keys = {files.key(file) for file in proven if file not in files.links}
    overlays = [
        file
        for xml in own.snapshots
        for file in overlay_files(xml)
        if keys.intersection(map(files.key, files.backing_chain(file))) and is_named_by_libvirt(file, xml, own_disks)
    ]
    memory = [file for xml in own.snapshots for file in memory_files(xml)]
    more = [file for file in (*overlays, *memory, *_made_nvram(own, files, proven)) if file not in files.links]
    return tuple(dict.fromkeys((*own_disks, *more)))


def _existing_logs(own: DomainDefinition, files: DiskFiles) -> list[str]:
    """Return the guest's console logs, including those whose existence the login cannot see."""
    named = referenced_files(own)
    logs = [log for log in own_logs(own.xmls[0]) if log in named]
    return [log for log in logs if log in files.hidden or (log in files.sizes and log not in files.obstacles)]


def _made_nvram(own: DomainDefinition, files: DiskFiles, own_disks: Sequence[str]) -> Iterator[str]:
    """Yield the NVRAM file that libvirt made for a guest.

    libvirt uses a file that exists, such as that of an earlier guest of the same name. So the file must be younger than
    the guest's first file, and have the name that libvirt chooses.
    """
    first = next((files.ids[file] for file in own_disks if file in files.ids), None)
    for file in nvram_files(own.xmls[0]):
        nvram = files.ids.get(file)
        if nvram and first and is_default_nvram(file, own.name) and nvram.is_younger_than(first):
            yield file


def _plan(selection: Selection) -> DestroyPlan:
    delete = selection.deleted
    keeps_tpm = not selection.made or any(file in selection.kept for file in selection.made)
    nvram = [file for file in nvram_files(selection.own.xmls[0]) if file in delete]
    return DestroyPlan(
        tuple((file, selection.files.sizes[file]) for file in delete),
        tuple(selection.kept.items()),
        state=tuple(name for name in selection.own.kept if not (keeps_tpm and name == "TPM state")),
        nvram=nvram[0] if nvram else "",
        keeps_tpm=keeps_tpm and "TPM state" in selection.own.kept,
        keys=tuple(selection.own_key(file) for file in delete),
        shared=frozenset(
            file for file in delete if file in selection.files.ids and not selection.files.ids[file].is_local
        ),
    )
