"""What a guest's node keeps of the guest's console: a log (libvirt's formatdomain.html, `<log>`), and where it begins.

It holds what the guest has written since it was started. Where it is told to reboot, the place is noted with the
running guest, because a prompt from before that says nothing about what comes up now.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from mclu_shell.cloud.console.devices import fetch_domain
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# The one directory where virtlogd may write on systems with SELinux; that of images is none.
_DIRECTORY = "/var/log/libvirt/qemu"
_NAMESPACE = "urn:mclu:console:1"
_SINCE = f"{{{_NAMESPACE}}}since"
# The log is root's, and its directory may be.
_STAT = """stat -c '%i %s' -- "$1" 2>/dev/null || sudo -n stat -c '%i %s' -- "$1" """
# A log that is full gets a number, and another takes its place.
_REMOVE = r"""
remove='for log; do rm -f -- "$log" "$log".[0-9] "$log".[0-9][0-9]; done'
sh -c "$remove" sh "$@" 2>/dev/null || sudo -n sh -c "$remove" sh "$@"
"""
# Says `+` if the log can be read, and then all that stands in it and comes. Of a log that is another by now, or has
# been emptied, everything is new. The end of its input ends it: tail itself would notice only when it writes. Both run
# under one sudo, which passes no signal on that comes from a process of its own group.
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
    """Where a new guest's log is to be; empty where libvirt is not the system's, and may not write there."""
    return f"{_DIRECTORY}/{name}.serial" if node.config.uri.endswith("/system") else ""


def read_log_path(domain: "ET.Element") -> str:
    """Where the log of a running guest is; empty if there is none."""
    logs = [*domain.findall("./devices/serial/log"), *domain.findall("./devices/console/log")]
    return next((file for log in logs if (file := log.get("file"))), "")


def mark_reboot(node: Node, name: str) -> None:
    """Note that what a guest's log has so far is from before a reboot; nothing if there is no log to be read."""
    from xml.etree import ElementTree as ET

    with suppress(MCluError):
        log = read_log_path(fetch_domain(node, name, "logs"))
        known = node.run(["sh", "-c", _STAT, "sh", log]).out.split() if log else []
        if len(known) == 2:
            since = ET.tostring(ET.Element("since", inode=known[0], offset=known[1]), encoding="unicode")
            node.change(lambda client: client.set_metadata(name, since, _NAMESPACE))


@contextmanager
def follow_log(node: Node, domain: "ET.Element") -> Iterator[Iterator[bytes] | None]:
    """What a running guest has written since it was started or told to reboot, and goes on to write.

    None if nothing of it is kept, or not for us to read.
    """
    log, since = read_log_path(domain), domain.find(f"./metadata/{_SINCE}")
    if not log:
        yield None
        return
    inode, offset = ("0", "0") if since is None else (since.get("inode", "0"), since.get("offset", "0"))
    with closing(node.start(["sh", "-c", _FOLLOW, "mclu-wait", log, inode, offset])) as process:
        chunks = process.chunks()
        first = next(chunks, b"")
        yield _with(first[1:], chunks) if first else None


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def remove_logs(node: Node, logs: Sequence[str]) -> bool:
    """Whether logs are gone, after they were deleted if that is possible."""
    return not logs or node.run(["sh", "-c", _REMOVE, "sh", *logs]).status == 0
