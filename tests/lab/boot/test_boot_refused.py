"""boot on real nodes: requests that it refuses before it makes anything."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.support.boot import OWN_XML, assert_error
from tests.lab.support.cli import describe_guest, mclu, mclu_parallel, virsh
from tests.lab.support.guests import BUILD, IMAGES, sh, template, traces
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]

BAD_NAMES = [
    "a b", "a'b", 'a"b', "$(touch /tmp/owned)", "`id`", "a;b", "../web", "..", ".hidden", "a/b", "wüb", "web\n", "",
    "x" * 300, "x" * 64, "web.qcow2", "web.qcow2.kernel", "a\x1b[2J", "ham0:", "ham0:-x", "ham*:web", "web*",
]  # fmt: skip


def test_boot_refuses_bad_names(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: mclu(lab, "boot", "quick", "--", name), BAD_NAMES))
    for result in results:
        assert_error(result, "boot: argument [HOST:]NAME: bad ", " name ", status=2)
    assert_error(mclu(lab, "boot", "quick", "-x"), "boot: ", "help boot", status=2)
    assert traces(lab, "ham0") == before


BAD_OPTIONS = {
    "--size 0": "boot: argument --size: bad size '0': must be greater than 0",
    "--size -1": "boot: argument --size: bad size '-1'",
    "--size=-1G": "boot: argument --size: bad size '-1G'",
    "--size 1": "a disk of 1 byte is too small: tiny needs at least 1M",
    "--size 999999T": "a disk of 976.6P is too large: the maximum is 64T",
    "--memory 0": "boot: argument --memory: bad size '0'",
    "--memory 1": "1 byte of memory is too little: tiny needs at least 96M",
    "--memory 95M": "95M of memory is too little: tiny needs at least 96M",
    "--memory 999999T": "no node has 976.6P of memory free; request at most ",
    "--vcpus 0": "boot: argument --vcpus: bad number",
    "--vcpus 4000": "4000 virtual CPUs are too many: pc-q35-",
    "--timezone ../../etc/passwd": "boot: argument --timezone: bad time zone",
    "--timezone $(id)": "boot: argument --timezone: bad time zone",
}


def test_boot_refuses_bad_options(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda options: mclu(lab, "boot", "tiny", "web", *options.split()), BAD_OPTIONS)
    for result, message in zip(results, BAD_OPTIONS.values(), strict=True):
        assert_error(result, message, status=2 if "argument" in message or "too" in message else 1)
    assert traces(lab, "ham0") == before


def test_boot_refuses_bad_templates(lab: RealLab, templates: Path) -> None:
    template(templates, "evil")
    path = templates / "evil.template"
    path.write_text(path.read_text().replace("echo nothing", "echo '$(touch /tmp/owned)'"))
    template(templates, "mute")
    path = templates / "mute.template"
    path.write_text(path.read_text().replace("echo hello", "true"))
    before = traces(lab, "ham0")
    evil, mute, none = mclu_parallel(lab, "boot evil web", "boot mute web", "boot ../quick web")
    assert_error(evil, "evil: base-image: not an image name: ", "touch")
    assert_error(mute, "mute: probe: expected 'hello\\n', got ")
    assert_error(none, "no such template '../quick'")
    assert traces(lab, "ham0") == before


def test_boot_refuses_nodes_that_are_off_or_unknown(lab: RealLab) -> None:
    off, none = mclu_parallel(lab, "boot quick ham3:web", "boot quick ham9:web")
    assert_error(off, "ham3: is off")
    assert_error(none, "no such node 'ham9'")
    lab.off("ham0", "ham1")
    assert_error(mclu(lab, "boot", "quick", "web"), "no node is on", "on NODE")


def test_boot_refuses_a_name_that_is_taken_on_any_node(lab: RealLab) -> None:
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "web"))
    before = traces(lab, "ham0")
    anywhere, here = mclu_parallel(lab, "boot quick web", "boot quick ham0:web")
    for result in (anywhere, here):
        assert_error(result, "ham1: guest 'web' already exists")
    assert traces(lab, "ham0") == before
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "web"))
    assert_error(mclu(lab, "boot", "quick", "web"), "ham0: guest 'web' already exists")


def test_notes_of_a_build_are_printed_below_the_result(lab: RealLab, templates: Path) -> None:
    template(
        templates, "noting", build=f"echo note; printf 'note: it is \\033[2Jsecret\\r\\n'; {BUILD}; printf 'note: last'"
    )
    result = mclu(lab, "boot", "noting", "web")
    assert (result.status, result.err) == (0, "")
    assert result.out == "ham0:web running\n  it is  [2Jsecret\n  last\n"
    result = mclu(lab, "-c", "boot noting db; destroy db")
    assert result.out.startswith("ham0:db running\n  it is  [2Jsecret\n  last\nham0:db destroyed\n"), result


def test_boot_prints_at_most_20_notes(lab: RealLab, templates: Path) -> None:
    template(templates, "noting", build=f"for i in $(seq 23); do echo note: $i; done; {BUILD}")
    assert mclu(lab, "boot", "noting", "web").out.endswith("\n  19\n  20\n  (3 more notes)\n")


@pytest.mark.parametrize("name", ["web.qcow2", "web.qcow2.kernel"])
def test_boot_never_overwrites_an_existing_file(lab: RealLab, name: str) -> None:
    sh(lab, "ham0", f"echo precious >{IMAGES}/{name}; ln -s /tmp/nowhere {IMAGES}/db.qcow2")
    before = traces(lab, "ham0")
    assert_error(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: {IMAGES}/{name} already exists")
    assert_error(mclu(lab, "boot", "quick", "db"), f"ham0: nothing was built: {IMAGES}/db.qcow2 already exists")
    assert traces(lab, "ham0") == before
    assert sh(lab, "ham0", f"cat {IMAGES}/{name}") == "precious\n"


def test_boot_refuses_a_node_without_the_directory_of_images(lab: RealLab) -> None:
    sh(lab, "ham0", f"mv {IMAGES} {IMAGES}.away")
    try:
        assert_error(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: cannot write to {IMAGES}")
        # Other nodes are not affected.
        result = mclu(lab, "boot", "quick", "ham1:web")
        assert result.out == "ham1:web running\n", result
        lab.off("ham1")
        assert_error(mclu(lab, "boot", "quick", "db"), f"ham0: nothing was built: cannot write to {IMAGES}", "images=")
    finally:
        sh(lab, "ham0", f"mv {IMAGES}.away {IMAGES}")


def test_boot_refuses_a_node_without_flock(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    flock = sh(lab, "ham0", "command -v flock").strip()
    sh(lab, "ham0", f"mount --bind /dev/null {flock}")
    try:
        assert_error(mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: the node has no flock; install ")
        lab.off("ham1")
        assert_error(mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: the node has no flock", "util-linux")
    finally:
        sh(lab, "ham0", f"umount {flock}")
    assert traces(lab, "ham0") == before


def test_boot_with_console_refuses_a_guest_that_has_none(lab: RealLab, templates: Path) -> None:
    template(templates, "mute", xml=OWN_XML.format(more="", device=""))
    before = traces(lab, "ham0")
    assert_error(
        mclu(lab, "boot", "mute", "web", "--console"), "ham0: the guest would have no console; boot it without"
    )
    assert traces(lab, "ham0") == before


def test_boot_warns_about_a_node_that_could_not_be_checked_for_the_name(lab: RealLab) -> None:
    lab.freeze("ham1", libvirtd=True)
    try:
        result = mclu(lab, "boot", "quick", "web")
    finally:
        lab.thaw("ham1", libvirtd=True)
    assert (result.status, result.out) == (0, "ham0:web running\n")
    assert result.err == "mclu: ham1: cannot check for another guest 'web': libvirtd not answering\n"
