"""Selection of the files that are deleted with a guest. It needs no I/O beyond the survey."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import NamedTuple

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.guests.files.selection import Selection, backing_of
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
)
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import NotFound, Refused


class DestroyPlan(NamedTuple):
    """Files to delete with their sizes in bytes, files to keep with the reasons, and the rest that goes with a guest.

    `state` names what libvirt deletes, for example "snapshot one"; it keeps the state of a TPM if `keeps_tpm`. `nvram`
    is the one file of `delete` that libvirt can delete, too. `logs` are console logs, beside which libvirt keeps
    rotated logs; a log that cannot be deleted is not an error. `keys` has device and inode of each file to delete.
    `shared` are files to delete that other machines may have open. `unchecked` are the nodes that must be queried
    before more can be deleted.
    """

    delete: tuple[tuple[str, int], ...]
    keep: tuple[tuple[str, str], ...]
    logs: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    nvram: str = ""
    keeps_tpm: bool = False
    keys: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()
    unchecked: tuple[str, ...] = ()

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


def plan_destroy(survey: Survey, guest: Guest, confirmed: DestroyPlan | None = None) -> DestroyPlan:
    """Choose the files to delete: those that mclu or snapshots made for the guest and that nothing else needs.

    With `confirmed`, keep every file that is not deleted by that plan. Raise NotFound if the guest is gone, or the
    error of its node.
    """
    if guest.node in survey.errors:
        raise survey.errors[guest.node]
    here = survey.nodes[guest.node]
    own = here.definitions.get(guest.uuid)
    removed = survey.removals(guest.node)
    if own is None or guest.uuid in removed.guests:
        raise NotFound(f"{guest.name} no longer exists", place=guest.node)
    selection = Selection(own, here.files, _made_files(own, here.files), _user_of(survey, here, guest))
    selection.keep(_obstacles(survey, selection, guest, confirmed))
    selection.keep_foreign_files()
    selection.keep_needed_files()
    unchecked = selection.keep_shared_files(survey.unchecked(guest.node))
    selection.keep_needed_files()
    if not own.is_active:
        selection.keep_open_files(here.opened)
    ignored = {guest.uuid, *removed.guests}
    logs = tuple(log for log in own_logs(own.xmls[0]) if not here.uses.find_path(log, ignored))
    plan = _plan(selection)._replace(logs=logs, unchecked=unchecked)
    if plan.keeps_tpm and not own.can_keep_tpm:
        raise Refused(
            f"cannot destroy {guest.name}: libvirt before 8.9 would delete the state of its TPM, which must be kept",
            place=guest.node,
            remedy=f"copy /var/lib/libvirt/swtpm/{guest.uuid}, then on the node: virsh undefine {quote(guest.name)}",
        )
    return plan


def _user_of(survey: Survey, here: NodeSurvey, guest: Guest) -> Callable[[str], str]:
    """Return a function that gives the reason to keep a file that others need; empty if they do not."""
    removed = survey.removals(guest.node)
    ignored = {guest.uuid, *removed.guests}

    def find(file: str) -> str:
        known = here.files.ids.get(file)
        if known is None:
            return ""
        user = here.uses.find_here(known, ignored) or here.uses.find_mounted(file, known, ignored)
        if user := user or survey.find_user(guest.node, file, known):
            return f"{user} uses it"
        images = [image for image in here.overlays.get(known.key, ()) if image not in removed.files]
        return backing_of(images[0]) if images else ""

    return find


def _obstacles(survey: Survey, selection: Selection, guest: Guest, confirmed: DestroyPlan | None) -> dict[str, str]:
    """Return the reasons to keep files that do not depend on what needs them."""
    duplicate = survey.describe_duplicate(guest)
    reasons = dict.fromkeys(selection.made, duplicate) if duplicate else {}
    reasons = _unconfirmed(selection.made, confirmed) | selection.files.obstacles | reasons
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
    keys = {files.key(file) for file in own_disks if file not in files.links}
    overlays = [
        file
        for xml in own.snapshots
        for file in overlay_files(xml)
        if keys.intersection(map(files.key, files.backing_chain(file))) and is_named_by_libvirt(file, xml, own_disks)
    ]
    memory = [file for xml in own.snapshots for file in memory_files(xml)]
    more = [file for file in (*overlays, *memory, *_made_nvram(own, files, own_disks)) if file not in files.links]
    return tuple(dict.fromkeys((*own_disks, *more)))


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
