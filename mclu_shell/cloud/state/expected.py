"""What this program has asked for lately, so that what comes of it surprises nobody."""

import time

# A guest that is asked to shut down takes its time; what is done to one at once, libvirt tells at once.
_LATER_S = 600.0
_AT_ONCE_S = 10.0
_WAKING_S = 180.0
# A reboot ends no guest: only one that goes away for good is told.
_ENDING = {"shutdown": _LATER_S, "stop": _AT_ONCE_S, "undefine": _AT_ONCE_S}


class ExpectedChanges:
    """Requests to one node and its guests; each is forgotten when it should have been done."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add_guest(self, uuid: str, verb: str) -> None:
        """A guest was asked to do this (one of `LibvirtClient.change`'s verbs)."""
        self._until.pop(uuid, None)
        if verb in _ENDING:
            self._until[uuid] = time.monotonic() + _ENDING[verb]

    def remove_guest(self, uuid: str) -> None:
        """What was asked of a guest has happened."""
        self._until.pop(uuid, None)

    def add_power_off(self) -> None:
        """The node itself was asked to switch off; it is not expected to come up any more."""
        self._until.pop("on", None)
        self._until["off"] = time.monotonic() + _LATER_S

    def remove_power_off(self) -> None:
        """It will not."""
        self._until.pop("off", None)

    def add_wake(self) -> None:
        """The node was asked to switch on; what was asked before is over."""
        self._until = {"on": time.monotonic() + _WAKING_S}

    def is_stopping(self, uuid: str) -> bool:
        """Whether a guest's end was asked for."""
        return time.monotonic() < self._until.get(uuid, 0.0)

    def is_powering_off(self) -> bool:
        """Whether the node's end was asked for."""
        return self.is_stopping("off")

    def is_waking(self) -> bool:
        """Whether the node is expected to come up."""
        return self.is_stopping("on")
