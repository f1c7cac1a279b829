"""The cloud of a session, opened on first use."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mclu_shell.errors import MCluError
from mclu_shell.system_faults import translated

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.dryrun.cloud import DryRunCloud


class LazyCloud:
    """Opens the cloud once, for the session and for the completion's thread."""

    def __init__(self, open_cloud: Callable[[], "Cloud"], configure: Callable[["Cloud"], None]) -> None:
        """`configure` is called with the cloud when it has been opened."""
        self._open_cloud = open_cloud
        self._configure = configure
        self._opening = threading.Lock()
        self._is_closed = False
        self.opened: Cloud | None = None
        self.dry_run: DryRunCloud | None = None

    def open(self) -> "Cloud":
        """Return the cloud; raise ConfigError without a configuration, SystemFault if this machine prevents it."""
        with self._opening:
            if self._is_closed:
                raise MCluError("mclu is ending")
            if self.opened is None:
                with translated():
                    self.opened = self._open_cloud()
                    self._configure(self.opened)
            return self.opened

    def open_dry_run(self) -> "DryRunCloud":
        """Return the cloud as the lines of a dry run so far would have left it."""
        if self.dry_run is None:
            # Only a dry run needs it.
            from mclu_shell.cloud.dryrun.cloud import DryRunCloud

            self.dry_run = DryRunCloud(self.open())
        return self.dry_run

    def close(self) -> None:
        """Close the cloud's connections; it cannot be opened again."""
        # Another thread may be opening it now.
        with self._opening:
            self._is_closed = True
            if self.opened is not None:
                self.opened.close()
