"""The parsers of data of nodes, guests and ssh, with real data and the errors that they declare."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.boot.kvm_probe import parse_end, read_result
from mclu_shell.cloud.console.log import read_log_path, read_mark
from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.console.screen import graphics_address
from mclu_shell.cloud.console.text import ConsoleText
from mclu_shell.cloud.guests.files.disk_files import DiskFiles, add_references
from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.guests.files.file_report import parse_images, parse_report
from mclu_shell.cloud.guests.files.file_uses import collect_uses
from mclu_shell.cloud.guests.files.gnu_quoting import unquote
from mclu_shell.cloud.guests.files.image_formats import find_formats
from mclu_shell.cloud.guests.files.image_header import read_backing_name
from mclu_shell.cloud.guests.files.made_files import existing_logs, made_files
from mclu_shell.cloud.guests.files.open_files import lock_id, parse_open_files
from mclu_shell.cloud.guests.ssh_banner import find_banner
from mclu_shell.cloud.hypervisor import domain_files
from mclu_shell.cloud.hypervisor.addresses import read_lease_duration
from mclu_shell.cloud.hypervisor.capabilities import parse_capabilities
from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition
from mclu_shell.cloud.hypervisor.file_names import FileNames
from mclu_shell.cloud.hypervisor.guest_agent import read_addresses
from mclu_shell.cloud.hypervisor.image_names import UndecodableName, find_named_paths, find_paths
from mclu_shell.cloud.nodes.guest_addresses import parse_facts
from mclu_shell.cloud.nodes.memory import parse_memory
from mclu_shell.cloud.state.disk_cache import read_cache
from mclu_shell.cloud.state.json_codec import report_from_json
from mclu_shell.cloud.transport.openssh.config import parse_settings
from mclu_shell.cloud.transport.openssh.known_hosts import parse_known_hosts
from mclu_shell.cloud.transport.openssh.login_faults import login_fault
from mclu_shell.cloud.transport.openssh.mux import MuxRefused, check_reply
from mclu_shell.cloud.transport.process import Completed, split_lines
from mclu_shell.cloud.transport.ssh.shell_command import ShellCommand
from mclu_shell.config import NodeConfig
from mclu_shell.errors import CommandsRefused, Unreachable
from mclu_shell.parsing.address import parse_guest_address
from mclu_shell.parsing.json_text import parse_json
from mclu_shell.parsing.limits import InvalidData
from mclu_shell.parsing.xml import parse_xml
from tests.fuzz import samples
from tests.fuzz.mutations import Mutation, mutate_json, mutate_lines, mutate_xml
from tests.support.ssh_target import make_target


class Parser(NamedTuple):
    """A parser of text; bytes come as the characters of these numbers. It may raise its faults, and nothing else."""

    name: str
    parse: Callable[[str], object]
    samples: tuple[str, ...]
    mutation: Mutation = mutate_lines
    faults: tuple[type[Exception], ...] = (InvalidData,)
    examples: int = 80


def octets(text: str) -> bytes:
    """Return the bytes that a node would send."""
    return text.encode("latin-1") if max(text, default="\0") < "\u0100" else text.encode(errors="surrogatepass")


def read_guest(text: str, snapshots: tuple[str, ...] = ()) -> object:
    """Read all of a guest's definition that `destroy` needs; check what the metadata must not decide."""
    guest = DomainDefinition("web", (text, text), snapshots, ("/images/two.img",), names=FileNames("/images", True))
    known = FileId(1, 12, True, 65536, 1, "2026-01-01 00:00:00.000000000 +0000", "ef53", "ext4", "1")
    files = DiskFiles(sizes={"/images/web.qcow2": 1}, ids={"/images/web.qcow2": known})
    made = made_files(guest, files)
    assert all(file.startswith("/images/web.") and ".." not in file.split("/") for file in made), made
    return [
        *(find_formats([guest]), collect_uses({"1": guest}, files), existing_logs(guest, files)),
        *(domain_files.disks_without_path(guest), domain_files.noted_files(guest), domain_files.disks(guest)),
        *(domain_files.required_disks(text), domain_files.nvram_files(text), domain_files.has_tpm_state(text)),
        *(list(domain_files.chain_files(guest)), domain_files.path_in_pool(text, "two.img")),
    ]


def read_snapshot(text: str) -> object:
    """Read a snapshot's XML."""
    return domain_files.snapshot_name(text), read_guest(samples.DOMAIN, (text,))


def read_running_guest(text: str) -> object:
    """Read the devices and the marks of a running guest."""
    domain = parse_xml(text)
    marks = [read_mark(mark) for mark in domain.iter("{urn:mclu:console:1}since")]
    assert all(word.isascii() and word.isdecimal() for mark in marks for word in mark), marks
    return read_log_path(domain), marks, [graphics_address(element) for element in domain.iter("graphics")]


def read_image(text: str) -> object:
    """Read the output of qemu-img info."""
    files = DiskFiles()
    add_references(files, "/images/web.qcow2", parse_json(text))
    return files


def read_agent(text: str) -> object:
    """Read the addresses of a guest agent; none may be a loopback address, a name or an option."""
    addresses = [
        address for text in read_addresses(text, ["52:54:00:00:00:01"]) if (address := parse_guest_address(text))
    ]
    assert all(
        address[0] in "0123456789abcdef" and not address.startswith(("127.", "::", "fe8")) for address in addresses
    )
    return addresses


def read_report(text: str) -> object:
    """Read a report of files: standard output, a form feed, and standard error."""
    out, _, err = text.partition("\f")
    report = parse_report(["/images/web.qcow2", "/images/link"], 1, Completed(0, out, err))
    files = DiskFiles()
    for file, image in report.images.items():
        add_references(files, file, image)
    return files


def read_open_files(text: str) -> object:
    """Read the open files, and write their keys in the notation of /proc/locks."""
    return [lock_id(key) for key in parse_open_files(text).users]


def read_framed(text: str) -> object:
    """Read the output of a command, which begins after a random word."""
    command = ShellCommand(["true"])
    word = command.line.split()[1].decode()
    data = octets(text.replace("@WORD@", word))
    return command.completed(make_target(), 0, data, data), list(split_lines(iter([data[:9], data[9:]])))


def read_console(text: str) -> object:
    """Search console output that arrives in two parts."""
    console = ConsoleText(Regex("login: $"))
    data = octets(text)
    return console.feed(data[:64]), console.feed(data[64:]), console.last_line


PARSERS = (
    Parser("a guest", read_guest, (samples.DOMAIN,), mutate_xml, examples=15),
    Parser("a snapshot", read_snapshot, (samples.SNAPSHOT,), mutate_xml, examples=10),
    Parser("a running guest", read_running_guest, (samples.DOMAIN,), mutate_xml),
    Parser("capabilities", lambda text: parse_capabilities([text, text]), (samples.CAPABILITIES,), mutate_xml),
    Parser("a network", read_lease_duration, (samples.NETWORK,), mutate_xml),
    Parser("a storage pool", lambda text: domain_files.path_in_pool(text, "x"), (samples.POOL,), mutate_xml),
    Parser("an image", read_image, (samples.IMAGE,), mutate_json),
    Parser(
        "the name of a backing file", lambda text: find_paths(text, "/images"), samples.BACKING_NAMES,
        faults=(UndecodableName,),
    ),
    Parser("an option of QEMU", lambda text: find_named_paths(text, "/"), samples.BACKING_NAMES, faults=()),
    Parser("an image's header", lambda text: read_backing_name(octets(text), 65536), samples.IMAGE_HEADS, faults=()),
    Parser("a report of files", read_report, (f"{samples.REPORT}\f{samples.REPORT_ERRORS}",)),
    Parser("found images", parse_images, (samples.FOUND_IMAGES,)),
    Parser("open files", read_open_files, (samples.OPEN_FILES,), faults=()),
    Parser("a quoted name", unquote, samples.QUOTED, faults=()),
    Parser("a guest agent", read_agent, (samples.AGENT,), mutate_json),
    Parser("addresses of a node", lambda text: parse_facts(text, ["1", "2"]), (samples.ADDRESSES,)),
    Parser("the memory of a node", lambda text: parse_memory(text.split("\n")), (samples.MEMORY,), faults=()),
    Parser("the cache of nodes", lambda text: read_cache(octets(text)), (samples.CACHE,), mutate_json),
    Parser("a shell's answer", lambda text: report_from_json(parse_json(text)), (samples.NODE_REPORT,), mutate_json),
    Parser("the result of the KVM test", read_result, (samples.KVM_CACHE,), mutate_json),
    Parser("the end of the KVM test", parse_end, ("0 4711.25 4712.5", "124 1 31"), faults=()),
    Parser(
        "ssh -G", partial(parse_settings, NodeConfig("ham0")), (samples.SSH_SETTINGS,), faults=(Unreachable,)
    ),
    Parser(
        "messages of ssh", lambda text: login_fault(make_target(), text, asks=len(text) % 2 > 0),
        (samples.SSH_MESSAGES, *samples.SSH_REFUSALS), faults=(),
    ),
    Parser(
        "known_hosts",
        lambda text: [key.names("ham0") for key in parse_known_hosts(Path("known_hosts"), text)],
        (samples.KNOWN_HOSTS,), faults=(),
    ),
    Parser(
        "ssh's control protocol", lambda text: check_reply(octets(text)), samples.MUX_REPLIES,
        faults=(MuxRefused, ConnectionError),
    ),
    Parser("the output of a command", read_framed, (samples.FRAMED,), faults=(CommandsRefused,)),
    Parser("a console", read_console, (samples.CONSOLE,), faults=()),
    Parser("the banner of sshd", lambda text: find_banner(octets(text)), (samples.BANNER,), faults=()),
)  # fmt: skip
