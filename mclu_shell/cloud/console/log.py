"""The log of a guest's console on its node (libvirt's formatdomain.html, `<log>`).

It has the guest's output since its start; with `append='on'`, also that of earlier runs. `reboot` notes the log's size
in the running guest's metadata, so that a login prompt from before the reboot does not count. So does `start`, if the
log is kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from mclu_shell.cloud.console.devices import fetch_domain
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError
from mclu_shell.parsing.limits import is_count

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

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
# `from`, is read from its beginning; with the inode `end`, only further output is read. The script ends at the end of
# its input, because tail would notice a closed output only at its next write. tail and cat run under one sudo: it does
# not relay signals from its own process group.
_FOLLOW = r"""
exec 2>/dev/null
follow='tail -c +"$2" -F -- "$1" & tail=$!; cat >/dev/null; kill $tail'
log=$1 inode=$2 from=$3 as=
[ -r "$log" ] || as='sudo -n'
$as head -c 0 -- "$log" || exit
set -- $($as stat -c '%i %s' -- "$log")
if [ "$inode" = end ]; then from=$2; else [ "$1" = "$inode" ] && [ "$2" -ge "$from" ] || from=0; fi
printf +
$as sh -c "$follow" sh "$log" $((from + 1))
"""


def read_log_path(domain: "ET.Element") -> str:
    """Return the path of a guest's log from its XML; empty if it has none."""
    log = _find_log(domain)
    return "" if log is None else log.get("file", "")


def _find_log(domain: "ET.Element") -> "ET.Element | None":
    logs = [*domain.findall("./devices/serial/log"), *domain.findall("./devices/console/log")]
    return next((log for log in logs if log.get("file")), None)


def _is_kept(domain: "ET.Element") -> bool:
    """Return whether a guest's log also has the output of its earlier runs."""
    log = _find_log(domain)
    return log is not None and log.get("append") != "off"


def is_from_start(domain: "ET.Element") -> bool:
    """Return whether `follow_log` begins with the first output of this run; otherwise it has only further output."""
    return not _is_kept(domain) or domain.find(f"./metadata/{_SINCE}") is not None


@contextmanager
def marking_start(node: Node, name: str) -> Iterator[None]:
    """Start a guest in the block; note where its output begins if its log keeps that of earlier runs."""
    mark = None
    with suppress(MCluError):
        xml = node.query(lambda client: client.fetch_xml(name)) or ""
        if "<log " in xml:
            from mclu_shell.parsing.xml import parse_xml

            domain = parse_xml(xml)
            mark = _make_mark(node, read_log_path(domain)) if _is_kept(domain) else None
    yield
    if mark is not None:
        with suppress(MCluError):
            _set_mark(node, name, mark)


def _make_mark(node: Node, log: str) -> str:
    """Return the metadata that notes the present size of a log; it may not exist yet."""
    from xml.etree import ElementTree as ET

    status = node.run_read_only(["sh", "-c", _STAT, "sh", log]).out.split()
    inode, offset = status if len(status) == 2 else ("0", "0")
    return ET.tostring(ET.Element("since", inode=inode, offset=offset), encoding="unicode")


def _set_mark(node: Node, name: str, mark: str) -> None:
    node.change(lambda client: client.set_metadata(name, mark, _NAMESPACE))


def mark_reboot(node: Node, name: str) -> None:
    """Note that the log's content so far is from before a reboot; do nothing if there is no readable log."""
    with suppress(MCluError):
        if log := read_log_path(fetch_domain(node, name, "logs")):
            _set_mark(node, name, _make_mark(node, log))


@contextmanager
def follow_log(node: Node, domain: "ET.Element") -> Iterator[Iterator[bytes] | None]:
    """Yield a running guest's output since its start or last reboot, and its further output.

    Yield None if there is no log, or if it cannot be read.
    """
    log, since = read_log_path(domain), domain.find(f"./metadata/{_SINCE}")
    if not log:
        yield None
        return
    inode, offset = ("0", "0") if since is None else read_mark(since)
    if not is_from_start(domain):
        inode = "end"
    with closing(node.start_read_only(["sh", "-c", _FOLLOW, "mclu-wait", log, inode, offset])) as process:
        chunks = process.chunks()
        first = next(chunks, b"")
        yield _with(first[1:], chunks) if first else None


def read_mark(since: "ET.Element") -> tuple[str, str]:
    """Return the inode and the size of a log in metadata, which may come from another machine; else zeros."""
    inode, offset = since.get("inode", ""), since.get("offset", "")
    return (inode, offset) if is_count(inode) and is_count(offset) else ("0", "0")


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def remove_logs(node: Node, logs: Sequence[str]) -> bool:
    """Delete logs, if possible; return True if they are gone."""
    return not logs or node.run(["sh", "-c", _REMOVE, "sh", *logs]).status == 0
