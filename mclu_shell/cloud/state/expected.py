"""Changes that this program has requested, so that they cause no alert."""

import time

# A shutdown may take minutes; libvirt reports a forced stop at once.
_SHUTDOWN_S = 600.0
_STOP_S = 10.0
_WAKE_S = 180.0
# The verbs that end a guest. There are alerts only for guests that end, so a reboot is not one of them.
_ENDING_VERBS = {"shutdown": _SHUTDOWN_S, "stop": _STOP_S, "undefine": _STOP_S}
_ON, _OFF = "on", "off"


class ExpectedChanges:
    """The requested changes of one node and its guests; each expires after the time that it may take."""

    def __init__(self) -> None:
        # By the UUID of a guest, or _ON or _OFF for the node: the time (of time.monotonic) of expiry.
        self._until: dict[str, float] = {}

    def add_guest(self, uuid: str, verb: str) -> None:
        """Expect the end of a guest after one of the verbs of `LibvirtClient.change`, if that verb ends it."""
        self._until.pop(uuid, None)
        if verb in _ENDING_VERBS:
            self._until[uuid] = time.monotonic() + _ENDING_VERBS[verb]

    def remove_guest(self, uuid: str) -> None:
        """Remove an expected change of a guest, because it has happened."""
        self._until.pop(uuid, None)

    def add_power_off(self) -> None:
        """Expect the node to go off, and not to come up."""
        self._until.pop(_ON, None)
        self._until[_OFF] = time.monotonic() + _SHUTDOWN_S

    def remove_power_off(self) -> None:
        """Expect the node to stay on, because switching it off has failed."""
        self._until.pop(_OFF, None)

    def add_wake(self) -> None:
        """Expect the node to come up, and nothing else."""
        self._until = {_ON: time.monotonic() + _WAKE_S}

    def is_stopping(self, uuid: str) -> bool:
        """Return whether the end of a guest is expected."""
        return self._is_expected(uuid)

    def is_powering_off(self) -> bool:
        """Return whether the node is expected to go off."""
        return self._is_expected(_OFF)

    def is_waking(self) -> bool:
        """Return whether the node is expected to come up."""
        return self._is_expected(_ON)

    def _is_expected(self, key: str) -> bool:
        return time.monotonic() < self._until.get(key, 0.0)
