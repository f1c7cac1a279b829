"""What was done to guests."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Changed(Record):
    """A guest was started, rebooted or stopped."""

    KIND: ClassVar = "changed"

    node: Annotated[str, "where the guest is"]
    guest: Annotated[str, "its name there"]
    change: Annotated[
        str,
        "`started`, `resumed`, `shut down`, `stopped by force`, `reboot requested` (nothing confirms it) or `reset`",
    ]


@dataclass(frozen=True, slots=True)
class Booted(Record):
    """A new guest runs."""

    KIND: ClassVar = "booted"

    node: Annotated[str, "where the guest is"]
    guest: Annotated[str, "its name there"]
    template: Annotated[str, "what it was made from"]
    accel: Annotated[str | None, "how its CPUs run: `kvm` or `tcg`; null for any other hypervisor"]
    accel_reason: Annotated[str | None, "why it runs without KVM, or why KVM could not be tested"]
    notes: Annotated[tuple[str, ...], "what its build has to tell its user, such as a password"]


@dataclass(frozen=True, slots=True)
class Reached(Record):
    """A guest that was waited for is as it should be."""

    KIND: ClassVar = "reached"

    node: Annotated[str, "where the guest is"]
    guest: Annotated[str, "its name there"]
    goal: Annotated[str, "what was waited for: `running`, `off`, `ip`, `ssh` or `console`"]
    addresses: Annotated[tuple[str, ...], "its IP addresses, or that at which sshd answers; empty unless waited for"]
    said: Annotated[str | None, "the line on its console, or what sshd says first; null unless waited for"]
