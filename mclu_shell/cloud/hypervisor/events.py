"""libvirt's event loop, and subscriptions to the events of guests (libvirt's libvirt-domain.html)."""

import contextlib
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import libvirt

from mclu_shell.cloud.state.guest import GuestEvent
from mclu_shell.system_faults import log_error

# The state after a lifecycle event (virDomainEventType). After other events the state must be queried.
_EVENT_STATES = MappingProxyType(
    {
        libvirt.VIR_DOMAIN_EVENT_STARTED: "running",
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "paused",
        libvirt.VIR_DOMAIN_EVENT_RESUMED: "running",
        libvirt.VIR_DOMAIN_EVENT_STOPPED: "shut off",
        libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "in shutdown",
        libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "pmsuspended",
        libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
    }
)
# Events that may change other values that mclu shows.
_OTHER_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)


def _run_loop() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


# Connections that were opened before this call receive no events.
libvirt.virEventRegisterDefaultImpl()
threading.Thread(target=_run_loop, name="libvirt events", daemon=True).start()


class Subscription:
    """The callbacks of one connection; errors are libvirt's. The thread of the event loop calls them."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._callbacks: list[int] = []

    def open(self, on_event: Callable[[GuestEvent | None], None], on_close: Callable[[], None]) -> None:
        """Register `on_event` for guests' events, with None for one that cannot be read, and `on_close` for the end."""

        def on_lifecycle(_connection: Any, domain: Any, event: int, _detail: int, _opaque: None) -> None:
            on_event(_read_event(domain, _EVENT_STATES.get(event)))

        def on_other(_connection: Any, domain: Any, *_details: Any) -> None:
            on_event(_read_event(domain, None))

        # First, because `close` unregisters it if there are any callbacks.
        self._connection.registerCloseCallback(lambda *_details: on_close(), None)
        callbacks = {libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: on_lifecycle, **dict.fromkeys(_OTHER_EVENTS, on_other)}
        for event_id, callback in callbacks.items():
            self._callbacks.append(self._connection.domainEventRegisterAny(None, event_id, callback, None))

    def close(self) -> None:
        """Unregister all callbacks: each holds a reference that would keep the connection and its socket open."""
        for number in self._callbacks:
            with contextlib.suppress(libvirt.libvirtError):
                self._connection.domainEventDeregisterAny(number)
        if self._callbacks:
            with contextlib.suppress(libvirt.libvirtError):
                self._connection.unregisterCloseCallback()


def _read_event(domain: Any, state: str | None) -> GuestEvent | None:
    try:
        return GuestEvent(domain.UUIDString(), domain.name(), state)
    except Exception as error:  # noqa: BLE001
        # libvirt would print a traceback into the prompt. The next poll reports the fault.
        log_error("invalid event", error)
        return None
