"""What boot refuses on real nodes, before anything is made."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.boot.fixtures import OWN_XML, complains, lab, templates
from tests.lab.support.cli import at_once, describe_guest, mclu, virsh
from tests.lab.support.guests import (
    BUILD,
    IMAGES,
    sh,
    template,
    traces,
)
from tests.lab.support.lab import RealLab

__all__ = ["lab", "templates"]


BAD_NAMES = [
    "a b", "a'b", 'a"b', "$(touch /tmp/owned)", "`id`", "a;b", "../web", "..", ".hidden", "a/b", "wüb", "web\n", "",
    "x" * 300, "x" * 64, "web.qcow2", "web.qcow2.kernel", "a\x1b[2J", "ham0:", "ham0:-x", "ham*:web", "web*",
]  # fmt: skip


def test_bad_names(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: mclu(lab, "boot", "quick", "--", name), BAD_NAMES))
    for told in answers:
        complains(told, "boot: argument [HOST:]NAME: bad n", status=2)
    complains(mclu(lab, "boot", "quick", "-x"), "boot: ", "help boot", status=2)
    assert traces(lab, "ham0") == before


BAD_OPTIONS = {
    "--size 0": "boot: argument --size: bad size '0': must be greater than 0",
    "--size -1": "boot: argument --size: bad size '-1'",
    "--size=-1G": "boot: argument --size: bad size '-1G'",
    "--size 1": "a disk of 1 byte is too small: tiny needs 1M",
    "--size 999999T": "a disk of 976.6P is too large: at most 64T",
    "--memory 0": "boot: argument --memory: bad size '0'",
    "--memory 1": "1 byte of memory is too little: tiny needs 96M",
    "--memory 95M": "95M of memory is too little: tiny needs 96M",
    "--memory 999999T": "no node has 976.6P of memory free; ham",
    "--vcpus 0": "boot: argument --vcpus: bad number",
    "--vcpus 4000": "4000 virtual CPUs are too many: pc-q35-",
    "--timezone ../../etc/passwd": "boot: argument --timezone: bad time zone",
    "--timezone $(id)": "boot: argument --timezone: bad time zone",
}


def test_bad_options(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda options: mclu(lab, "boot", "tiny", "web", *options.split()), BAD_OPTIONS)
    for told, complaint in zip(answers, BAD_OPTIONS.values(), strict=True):
        complains(told, complaint, status=2 if "argument" in complaint or "too" in complaint else 1)
    assert traces(lab, "ham0") == before


def test_bad_templates(lab: RealLab, templates: Path) -> None:
    template(templates, "evil")
    path = templates / "evil.template"
    path.write_text(path.read_text().replace("echo nothing", "echo '$(touch /tmp/owned)'"))
    template(templates, "mute")
    path = templates / "mute.template"
    path.write_text(path.read_text().replace("echo hello", "true"))
    before = traces(lab, "ham0")
    evil, mute, none = at_once(lab, "boot evil web", "boot mute web", "boot ../quick web")
    complains(evil, "evil: base-image: not an image name: ", "touch")
    complains(mute, "mute: probe: expected 'hello\\n', got ")
    complains(none, "no such template '../quick'")
    assert traces(lab, "ham0") == before


def test_nodes_that_are_off_or_not_there(lab: RealLab) -> None:
    off, none = at_once(lab, "boot quick ham3:web", "boot quick ham9:web")
    complains(off, "ham3: is off")
    complains(none, "no such node 'ham9'")
    lab.off("ham0", "ham1")
    complains(mclu(lab, "boot", "quick", "web"), "no node is on", "on NODE")


def test_a_name_that_is_taken(lab: RealLab) -> None:
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "web"))
    before = traces(lab, "ham0")
    anywhere, here = at_once(lab, "boot quick web", "boot quick ham0:web")
    for told in (anywhere, here):
        complains(told, "ham1: there is a guest 'web' already")
    assert traces(lab, "ham0") == before
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "web"))
    complains(mclu(lab, "boot", "quick", "web"), "ham0: there is a guest 'web' already")


def test_what_a_build_notes_stands_below_the_answer(lab: RealLab, templates: Path) -> None:
    template(
        templates, "noting", build=f"echo note; printf 'note: it is \\033[2Jsecret\\r\\n'; {BUILD}; printf 'note: last'"
    )
    told = mclu(lab, "boot", "noting", "web")
    assert (told.status, told.err) == (0, "")
    assert told.out == "ham0:web running\n  it is  [2Jsecret\n  last\n"
    told = mclu(lab, "-c", "boot noting db; destroy db")
    assert told.out.startswith("ham0:db running\n  it is  [2Jsecret\n  last\nham0:db destroyed\n"), told


def test_only_so_many_notes_are_shown(lab: RealLab, templates: Path) -> None:
    template(templates, "noting", build=f"for i in $(seq 23); do echo note: $i; done; {BUILD}")
    assert mclu(lab, "boot", "noting", "web").out.endswith("\n  19\n  20\n  (3 more notes)\n")


@pytest.mark.parametrize("name", ["web.qcow2", "web.qcow2.kernel"])
def test_a_file_that_is_there_is_never_touched(lab: RealLab, name: str) -> None:
    sh(lab, "ham0", f"echo precious >{IMAGES}/{name}; ln -s /tmp/nowhere {IMAGES}/db.qcow2")
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: {IMAGES}/{name} is there already")
    complains(mclu(lab, "boot", "quick", "db"), f"ham0: nothing was built: {IMAGES}/db.qcow2 is there already")
    assert traces(lab, "ham0") == before
    assert sh(lab, "ham0", f"cat {IMAGES}/{name}") == "precious\n"


def test_a_directory_of_images_that_is_not_there(lab: RealLab) -> None:
    sh(lab, "ham0", f"mv {IMAGES} {IMAGES}.away")
    try:
        complains(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: cannot write to {IMAGES}")
        # It hinders no other node.
        told = mclu(lab, "boot", "quick", "ham1:web")
        assert told.out == "ham1:web running\n", told
        lab.off("ham1")
        complains(mclu(lab, "boot", "quick", "db"), f"ham0: cannot write to {IMAGES}", "images=")
    finally:
        sh(lab, "ham0", f"mv {IMAGES}.away {IMAGES}")


def test_a_node_without_flock(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    flock = sh(lab, "ham0", "command -v flock").strip()
    sh(lab, "ham0", f"mount --bind /dev/null {flock}")
    try:
        complains(
            mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: there is no flock on this node: install "
        )
        lab.off("ham1")
        complains(mclu(lab, "boot", "quick", "web"), "ham0: there is no flock on this node", "util-linux")
    finally:
        sh(lab, "ham0", f"umount {flock}")
    assert traces(lab, "ham0") == before


def test_without_a_console_nothing_is_made(lab: RealLab, templates: Path) -> None:
    template(templates, "mute", xml=OWN_XML.format(more="", device=""))
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "mute", "web", "--console"), "ham0: the guest would have no console; boot it without")
    assert traces(lab, "ham0") == before


def test_a_node_that_cannot_be_asked_is_told_and_one_that_is_off_is_not(lab: RealLab) -> None:
    lab.freeze("ham1", libvirtd=True)
    try:
        told = mclu(lab, "boot", "quick", "web")
    finally:
        lab.thaw("ham1", libvirtd=True)
    assert (told.status, told.out) == (0, "ham0:web running\n")
    assert told.err == "mclu: ham1: was not asked whether it has a guest 'web', too: libvirtd not answering\n"
