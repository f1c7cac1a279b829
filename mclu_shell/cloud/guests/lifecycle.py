"""Start and reboot of guests, in every state that libvirt has."""

import time
from contextlib import suppress
from types import MappingProxyType

from mclu_shell.cloud.console.log import mark_reboot, marking_start
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import CRASHED, IO_ERROR, PAUSED, RUNS, SAVED, SUSPENDED, Condition, Guest
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.errors import LibvirtFault, MCluError, NodeFault, NotFound, Refused

_POLL_S = 0.1
# QEMU repeats failed disk requests as soon as a guest runs. A guest whose error persists is paused again within this
# time; the longer one is for a guest that such an error has paused.
_SETTLE_S = 0.3
_SETTLE_AFTER_ERROR_S = 1.5
_WAKE_S = 2.0
# States in which a guest uses memory, but ignores requests.
_DEAF = (PAUSED, CRASHED, SUSPENDED)
_DONE = MappingProxyType({"start": "started", "resume": "resumed", "wake": "woken"})


def start(node: Node, guest: Guest) -> str:
    """Start, resume or wake a guest, by its state; return "started", "resumed" or "woken".

    Raise MCluError if it does not run after that, as with a full disk.
    """
    action = choose_start_action(node, guest)
    try:
        if action == "start":
            with marking_start(node, guest.name):
                change(node, guest, action)
        else:
            change(node, guest, action)
    except LibvirtFault as error:
        raise _explain_failed_start(error, guest) from error
    if action == "start" and guest.reason == SAVED:
        _continue_saved(node, guest)
    if action == "resume" or guest.reason == SAVED:
        require_stays_running(node, guest)
    _require_runs(node, guest, action)
    return _DONE[action]


def _continue_saved(node: Node, guest: Guest) -> None:
    """Resume or wake a guest that was paused or suspended when its memory was saved."""
    # libvirt restores a suspended guest as paused. Once it is resumed, QEMU or the guest itself may suspend it again.
    if _fetch_condition(node, guest).state != PAUSED:
        return
    change(node, guest, "resume")
    if _watch(node, guest).state == SUSPENDED:
        try:
            change(node, guest, "wake")
        except LibvirtFault as error:
            raise _explain_failed_start(error, guest._replace(state=SUSPENDED, reason="")) from error
        _wait_until_woken(node, guest)
        _watch(node, guest)


def _watch(node: Node, guest: Guest) -> Condition:
    """Return the condition of a guest once it does not run, or after some time."""
    deadline = time.monotonic() + _SETTLE_AFTER_ERROR_S
    while (condition := _fetch_condition(node, guest)).state in RUNS and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return condition


def _wait_until_woken(node: Node, guest: Guest) -> Condition:
    """Return the condition of a guest once it is not suspended: libvirt wakes it without waiting for its answer."""
    deadline = time.monotonic() + _WAKE_S
    while (condition := _fetch_condition(node, guest)).state == SUSPENDED and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return condition


def _require_runs(node: Node, guest: Guest, action: str) -> None:
    """Raise MCluError with the remedy if a guest does not run after a successful action."""
    try:
        condition = _wait_until_woken(node, guest)
    except NodeFault:
        # libvirt has confirmed the action.
        return
    if condition.state not in RUNS:
        fact = f"{guest.name} was {_DONE[action]}, but is {condition}"
        raise MCluError(fact, place=node.name, remedy=_remedy_after_start(guest, condition.state))


def _remedy_after_start(guest: Guest, state: str) -> str:
    start = _command("start", guest)
    remedies = {
        PAUSED: f"run {start} to resume it",
        SUSPENDED: f"run {start} to wake it, or {_command('shutdown --force', guest)} to stop it",
        CRASHED: f"run {_command('reboot --hard', guest)} to reset it",
    }
    return remedies.get(state, f"run {start} to start it again")


def choose_start_action(node: Node, guest: Guest) -> str:
    """Return `start`, `resume` or `wake`, by the guest's state; raise Refused if it runs or has crashed."""
    if guest.state == CRASHED:
        remedy = (
            f"run {_command('reboot --hard', guest)} to reset it, or {_command('shutdown --force', guest)} to stop it"
        )
        raise Refused(f"{guest.name} is {guest.condition} and still in memory", place=node.name, remedy=remedy)
    if guest.state in (PAUSED, SUSPENDED):
        return "resume" if guest.state == PAUSED else "wake"
    if guest.is_active:
        raise Refused(f"{guest.name} is already {guest.condition}", place=node.name)
    return "start"


def _explain_failed_start(error: LibvirtFault, guest: Guest) -> MCluError:
    """Add the command that gets a guest out of a state in which libvirt does not start it."""
    if type(error) is not LibvirtFault:
        return error
    if guest.state == SUSPENDED:
        error.remedy = f"run {_command('shutdown --force', guest)} to stop it"
    elif guest.reason == SAVED:
        error.remedy = f"to discard its saved memory, run on the node: virsh managedsave-remove {guest.uuid}"
    return error


def require_stays_running(node: Node, guest: Guest) -> None:
    """Raise MCluError if a guest that was resumed is paused again, because its disk still fails."""
    settle_s = _SETTLE_AFTER_ERROR_S if guest.reason == IO_ERROR else _SETTLE_S
    deadline = time.monotonic() + settle_s
    while (condition := _fetch_condition(node, guest)) != Condition(PAUSED, IO_ERROR):
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    if condition.state == PAUSED:
        cause = describe_cause(node, guest, condition)
        remedy = f"remove the cause, then run {_command('start', guest)}"
        if "no space" in cause:
            remedy = f"free disk space on the node, then run {_command('start', guest)}"
        raise MCluError(f"{guest.name} is paused again: {cause}", place=node.name, remedy=remedy)


def describe_cause(node: Node, guest: Guest, condition: Condition) -> str:
    """Return the reason for a pause, with the disks that failed."""
    errors: tuple[str, ...] = ()
    if condition.reason == IO_ERROR:
        with suppress(LibvirtFault):
            errors = node.query(lambda client: client.fetch_disk_errors(guest.name))
    return ": ".join(filter(None, (condition.reason or "by another client", ", ".join(errors))))


def reboot(node: Node, guest: Guest, *, hard: bool) -> str:
    """Request a reboot, or reset the guest; return which."""
    action = choose_reboot_action(node, guest, hard=hard)
    mark_reboot(node, guest.name)
    if not hard:
        change(node, guest, action)
        return "reboot requested"
    if guest.state == SUSPENDED:
        # QEMU would reset it, but libvirt would neither resume nor wake it after that.
        change(node, guest, "wake")
    change(node, guest, action)
    _run_after_reset(node, guest)
    return "reset"


def _run_after_reset(node: Node, guest: Guest) -> None:
    """Resume a guest that is paused after a reset, because it was paused or crashed before."""
    condition = _fetch_condition(node, guest)
    if condition.state == PAUSED:
        change(node, guest, "resume")
        require_stays_running(node, guest)
    elif condition.state == SUSPENDED:
        # It had suspended again before the reset.
        with suppress(LibvirtFault):
            change(node, guest, "wake")


def choose_reboot_action(node: Node, guest: Guest, *, hard: bool) -> str:
    """Return `reboot` or `reset`; raise Refused if the guest cannot respond to it."""
    require_active(node, guest)
    if not hard:
        require_responsive(node, guest, "--hard to reset it")
    return "reset" if hard else "reboot"


def require_responsive(node: Node, guest: Guest, option: str) -> None:
    """Raise Refused if the guest's CPUs are stopped: libvirt accepts a request, but the guest ignores it."""
    if guest.state in _DEAF:
        raise cannot_respond(node, guest, guest.condition, option)


def cannot_respond(node: Node, guest: Guest, condition: Condition, option: str) -> Refused:
    """Return the error for a request to a guest that is paused, suspended or crashed."""
    verb = {PAUSED: "resume", SUSPENDED: "wake"}.get(condition.state)
    start = f"run {_command('start', guest)} to {verb} it, or " if verb else ""
    fact = f"{guest.name} is {condition} and cannot respond"
    return Refused(fact, place=node.name, remedy=f"{start}use {option}")


def require_active(node: Node, guest: Guest) -> None:
    """Raise Refused if a guest does not run."""
    if not guest.is_active:
        state = f" ({guest.reason})" if guest.reason else ""
        remedy = f"run {_command('start', guest)}"
        raise Refused(f"{guest.name} is not running{state}", place=node.name, remedy=remedy)


def change(node: Node, guest: Guest, action: str) -> None:
    """Do one of the verbs of `LibvirtClient.change` to a guest; raise NotFound if it is gone."""
    try:
        node.change_guest(guest.name, action, guest.uuid)
    except NotFound as error:
        raise NotFound(f"{guest.name} no longer exists", place=node.name) from error


def _fetch_condition(node: Node, guest: Guest) -> Condition:
    return node.query(lambda client: client.fetch_condition(guest.name)) or Condition(RUNS[0])


def _command(command: str, guest: Guest) -> str:
    return guest_command(command, guest.node, guest.name)
