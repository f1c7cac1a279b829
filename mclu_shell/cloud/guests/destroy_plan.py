"""Selection of the files that are deleted with a guest. It needs no I/O beyond the survey."""

from collections.abc import Collection, Iterable, Mapping
from shlex import quote
from typing import NamedTuple

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.guests.files.made_files import existing_logs, made_files, unproven_files
from mclu_shell.cloud.guests.files.selection import NO_LONGER_USED, Selection
from mclu_shell.cloud.guests.leaving import GuestKey, Leaving
from mclu_shell.cloud.guests.survey import Survey
from mclu_shell.cloud.guests.users import Users
from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, nvram_files, own_files
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import MCluError, NotFound, Refused


class DestroyPlan(NamedTuple):
    """Files to delete with their sizes in bytes, files to keep with the reasons, and the rest that goes with a guest.

    `state` names what libvirt deletes, for example "snapshot one"; it keeps the state of a TPM if `keeps_tpm`. `nvram`
    is the one file of `delete` that libvirt can delete, too. `logs` are console logs with their sizes, beside which
    libvirt keeps rotated logs; a log that cannot be deleted is not an error. `keys` has device and inode of each file
    to delete.
    `shared` are files to delete that other machines may have open. `unchecked` are the nodes that must be queried
    before more can be deleted. `after` are the guests that must be destroyed before, as they need the files.
    `undecided` is an image that cannot be read and may need the files. A guest that is not persistent is gone once it
    is stopped.
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
    undecided: str = ""
    is_persistent: bool = True

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
        more = ((file, why) for file, why in reasons.items() if file not in dict(self.keep))
        return self.without(reasons)._replace(keep=(*self.keep, *more))

    def without(self, files: Collection[str]) -> "DestroyPlan":
        """Return the plan without the deletion of some files."""
        left = [pair for pair in zip(self.delete, self.keys, strict=True) if pair[0][0] not in files]
        return self._replace(
            delete=tuple(file for file, _ in left),
            keys=tuple(key for _, key in left),
            nvram="" if self.nvram in files else self.nvram,
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
    _require_access(guest, own, here.files)
    users = Users(survey, here, guest, leaving or Leaving(), set())
    selection = Selection(own, here.files, made_files(own, here.files), users.find)
    selection.keep(_obstacles(survey, selection, guest, confirmed))
    selection.keep_foreign_files()
    selection.keep_needed_files()
    unchecked = selection.keep_shared_files(survey.unchecked(guest.node))
    selection.keep_needed_files()
    undecided = selection.keep_undecided_files(users.find_unreadable)
    selection.keep_open_files(users.find_process)
    logs = {log: users.find(log) for log in existing_logs(own, here.files)}
    selection.keep({log: why for log, why in logs.items() if why})
    plan = _plan(selection)._replace(
        logs=tuple((log, here.files.sizes.get(log, 0)) for log, why in logs.items() if not why),
        unchecked=unchecked,
        after=frozenset(users.before),
        undecided=undecided,
        is_persistent=own.is_persistent,
    )
    if plan.keeps_tpm and not own.can_keep_tpm:
        raise _loses_tpm(guest)
    return plan


def _loses_tpm(guest: Guest) -> MCluError:
    return Refused(
        f"cannot destroy {guest.name}: libvirt before 8.9 would delete the state of its TPM, which must be kept",
        place=guest.node,
        remedy=f"copy /var/lib/libvirt/swtpm/{guest.uuid}, then on the node: virsh undefine {quote(guest.name)}",
    )


def _require_access(guest: Guest, own: DomainDefinition, files: DiskFiles) -> None:
    """Raise MCluError for a file of the guest that may exist: it would be left behind."""
    lost = [file for file in own_files(own) if file in files.unreadable and file not in files.sizes]
    if lost:
        fact = f"{guest.name} not destroyed: cannot access {lost[0]}: {files.unreadable[lost[0]]}"
        raise Refused(fact, place=guest.node, remedy="make it accessible, then retry")


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
