"""Checks of leftovers: files without guests, guests without files, and what interrupted boots left."""

import shlex
from collections.abc import Sequence

from mclu_shell.cloud.doctor.examination import GUEST_FILES
from mclu_shell.cloud.doctor.finding import Finding, fault, fault_for_root, ok, repairable, unchecked
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.cloud.hypervisor.domain_files import required_disks
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.units import format_size

_MOST_NAMES = 5
_CLAIM = (".mclu-", ".building")


def check_unused_disks(subject: Subject) -> Finding:
    """Check for disks that no guest uses."""
    survey, facts = subject.own.survey, subject.facts
    if survey is None or facts is None:
        return unchecked(_reason(subject))
    listed = facts.images.files
    boots = [path.rpartition("/")[2] for path in listed]
    building = {name[len(_CLAIM[0]) : -len(_CLAIM[1])] for name in boots if _is_claim(name)}
    named = [file for file in listed if file in survey.files.ids and file.endswith(GUEST_FILES)]
    unused = [file for file in named if _guest_of(file) not in building and not _is_used(subject, file)]
    if not unused:
        return ok("all disks have a guest")
    size = format_size(sum(survey.files.sizes.get(file, 0) for file in unused))
    fact = f"no guest uses {_shorten([file.rpartition('/')[2] for file in unused])} ({size})"
    return fault_for_root(
        fact, f"if they are not needed: {shlex.join(['rm', '--', *unused[:_MOST_NAMES]])}", is_warning=True
    )


def _is_claim(name: str) -> bool:
    return name.startswith(_CLAIM[0]) and name.endswith(_CLAIM[1])


def _guest_of(file: str) -> str:
    return file.rpartition("/")[2].partition(".qcow2")[0]


def _is_used(subject: Subject, file: str) -> bool:
    assert subject.own.survey is not None
    known = subject.own.survey.files.ids[file]
    name = subject.node.name
    if not known.is_local and subject.survey.unchecked(name):
        # A guest of a node that is off may use it.
        return True
    return any(True for _ in subject.survey.find_uses(name, file, known))


def check_missing_disks(subject: Subject) -> Finding:
    """Check for guests whose disks are missing."""
    survey = subject.own.survey
    if survey is None:
        return unchecked(_reason(subject))
    for guest in survey.definitions.values():
        for disk in required_disks(guest.xmls[0]):
            if disk.startswith("/") and disk not in {*survey.files.ids, *survey.files.hidden, *survey.files.unreadable}:
                command = guest_command("destroy", subject.node.name, guest.name)
                return fault(f"{guest.name} has lost its disk {disk}", f"restore it, or run {command}", is_warning=True)
    return ok("all guests have their disks")


def check_interrupted(subject: Subject) -> Finding:
    """Check for files of boots and downloads that were interrupted, for example by a power failure."""
    if subject.facts is None:
        return unchecked("the node cannot be examined")
    stale = subject.facts.images.stale
    if not stale:
        return ok("no boot or download was interrupted")
    fact = f"an interrupted boot or download has left {_shorten([file.rpartition('/')[2] for file in stale])}"
    return repairable(fact, shlex.join(["rm", "-f", "--", *stale]), is_warning=True)


def _reason(subject: Subject) -> str:
    error = subject.own.survey_fault or subject.own.fault
    return error.fact if error else "the files are unknown"


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown
