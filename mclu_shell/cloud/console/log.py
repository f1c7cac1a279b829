"""The log of a guest's console on its node (libvirt's formatdomain.html, `<log>`).

It has the guest's output since its start. `reboot` notes the log's size in the running guest's metadata, so that a
login prompt from before the reboot does not count.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from mclu_shell.cloud.console.devices import fetch_domain
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# SELinux lets virtlogd write here, but not to the directory of images.
_DIRECTORY = "/var/log/libvirt/qemu"
_NAMESPACE = "urn:mclu:console:1"
_SINCE = f"{{{_NAMESPACE}}}since"
# The log belongs to root; its directory may be readable only by root.
_STAT = """stat -c '%i %s' -- "$1" 2>/dev/null || sudo -n stat -c '%i %s' -- "$1" """
# virtlogd rotates a full log: it renames it with a number and begins another.
_REMOVE = r"""
remove='for log; do rm -f -- "$log" "$log".[0-9] "$log".[0-9][0-9]; done'
sh -c "$remove" sh "$@" 2>/dev/null || sudo -n sh -c "$remove" sh "$@"
"""
# Prints `+` if the log can be read, then its content and further output. A log with another inode, or shorter than
# `from`, is read from its beginning. The script ends at the end of its input, because tail would notice a closed output
# only at its next write. tail and cat run under one sudo: sudo does not relay signals from its own process group.
_FOLLOW = r"""
exec 2>/dev/null
follow='tail -c +"$2" -F -- "$1" & tail=$!; cat >/dev/null; kill $tail'
log=$1 inode=$2 from=$3 as=
[ -r "$log" ] || as='sudo -n'
$as head -c 0 -- "$log" || exit
set -- $($as stat -c '%i %s' -- "$log")
[ "$1" = "$inode" ] && [ "$2" -ge "$from" ] || from=0
printf +
$as sh -c "$follow" sh "$log" $((from + 1))
"""


def log_path(node: Node, name: str) -> str:
    """Return the path for a new guest's log; empty unless the node's libvirt is the system instance."""
    return f"{_DIRECTORY}/{name}.serial" if node.config.uri.endswith("/system") else ""


def read_log_path(domain: "ET.Element") -> str:
    """Return the path of a running guest's log from its XML; empty if it has none."""
    logs = [*domain.findall("./devices/serial/log"), *domain.findall("./devices/console/log")]
    return next((file for log in logs if (file := log.get("file"))), "")


def mark_reboot(node: Node, name: str) -> None:
    """Note that the log's content so far is from before a reboot; do nothing if there is no readable log."""
    from xml.etree import ElementTree as ET

    with suppress(MCluError):
        log = read_log_path(fetch_domain(node, name, "logs"))
        status = node.run_read_only(["sh", "-c", _STAT, "sh", log]).out.split() if log else []
        if len(status) == 2:
            since = ET.tostring(ET.Element("since", inode=status[0], offset=status[1]), encoding="unicode")
            node.change(lambda client: client.set_metadata(name, since, _NAMESPACE))


@contextmanager
def follow_log(node: Node, domain: "ET.Element") -> Iterator[Iterator[bytes] | None]:
    """Yield a running guest's output since its start or last reboot, and its further output.

    Yield None if there is no log, or if it cannot be read.
    """
    log, since = read_log_path(domain), domain.find(f"./metadata/{_SINCE}")
    if not log:
        yield None
        return
    inode, offset = ("0", "0") if since is None else (since.get("inode", "0"), since.get("offset", "0"))
    with closing(node.start_read_only(["sh", "-c", _FOLLOW, "mclu-wait", log, inode, offset])) as process:
        chunks = process.chunks()
        first = next(chunks, b"")
        yield _with(first[1:], chunks) if first else None


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def remove_logs(node: Node, logs: Sequence[str]) -> bool:
    """Delete logs, if possible; return True if they are gone."""
    return not logs or node.run(["sh", "-c", _REMOVE, "sh", *logs]).status == 0
