"""Records of changes of guests."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record

# Values of JSON keys stay the same where the text for people has changed.
_VALUES = {"reboot requested": "told to reboot"}


@dataclass(frozen=True, slots=True)
class Changed(Record):
    """A guest was started, rebooted or stopped."""

    KIND: ClassVar = "changed"

    node: Annotated[str, "node of the guest"]
    guest: Annotated[str, "name of the guest"]
    change: Annotated[
        str,
        "`started`, `resumed`, `woken`, `shut down`, `stopped by force`, `told to reboot` (not confirmed) or `reset`",
    ]


def changed_record(node: str, guest: str, change: str) -> Changed:
    """Return the record of a change, which is given in the words of the text output."""
    return Changed(node, guest, _VALUES.get(change, change))


@dataclass(frozen=True, slots=True)
class Booted(Record):
    """A guest was created and is running."""

    KIND: ClassVar = "booted"

    node: Annotated[str, "node of the guest"]
    guest: Annotated[str, "name of the guest"]
    template: Annotated[str, "template that it was created from"]
    accel: Annotated[str | None, "CPU virtualization: `kvm` or `tcg`; null with another hypervisor"]
    accel_reason: Annotated[str | None, "why KVM is not used, or could not be tested"]
    notes: Annotated[tuple[str, ...], "notes from the build, such as a generated password"]


@dataclass(frozen=True, slots=True)
class Reached(Record):
    """A guest reached the state that was waited for."""

    KIND: ClassVar = "reached"

    node: Annotated[str, "node of the guest"]
    guest: Annotated[str, "name of the guest"]
    goal: Annotated[str, "condition: `running`, `off`, `ip`, `ssh` or `console`"]
    addresses: Annotated[
        tuple[str, ...], "IP addresses (`ip`), or the one where its SSH server answers (`ssh`); otherwise empty"
    ]
    said: Annotated[str | None, "line on its console (`console`), or banner of its SSH server (`ssh`); otherwise null"]
