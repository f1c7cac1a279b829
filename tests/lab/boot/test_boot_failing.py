"""boot on real nodes, when something fails on the way: nothing is left."""

import re
from pathlib import Path

import pytest

from tests.lab.boot.fixtures import LIBVIRTD, MAY_BE_LEFT, OWN_XML, complains, lab, templates
from tests.lab.support.cli import describe_guest, mclu, started, until, virsh
from tests.lab.support.guests import (
    BUILD,
    IMAGES,
    WAIT,
    images,
    open_gate,
    sh,
    states,
    template,
    traces,
    wait_for_gate,
)
from tests.lab.support.lab import RealLab

__all__ = ["lab", "templates"]


def test_a_directory_that_a_build_made_beside_the_disk_goes_with_it(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build=f'{BUILD}; mkdir -p "$output.d/deep"')
    before = traces(lab, "ham0")
    told = mclu(lab, "boot", "bad", "web")
    complains(told, f"ham0: the build made {IMAGES}/web.qcow2.d, which is no file", "removed", "the directory that")
    assert traces(lab, "ham0") == before


@pytest.mark.parametrize("status", [0, 3])
def test_a_build_need_not_end_its_last_line(lab: RealLab, templates: Path, status: int) -> None:
    template(templates, "hasty", build=f"{BUILD}; printf 'done 100%%'; exit {status}")
    told = mclu(lab, "boot", "hasty", "web")
    if status:
        assert told.err.endswith(
            "failed with exit status 3, and what it made was removed. It said last:\n  done 100%\n"
        )
        return
    assert told.out == "ham0:web running\n"
    assert re.findall("<mclu:file>(.*)</mclu:file>", virsh(lab, "ham0", "dumpxml", "web")) == [f"{IMAGES}/web.qcow2"]


def test_a_directory_of_images_that_is_full(lab: RealLab) -> None:
    """What a boot leaves there must not be taken for a sign that a disk is not the user's."""
    fill = f"head -c 1M /dev/zero >{IMAGES}/full"
    sh(lab, "ham0", f"mount -t tmpfs -o size=64K none {IMAGES}; {fill} || true")
    for _ in range(4):
        told = mclu(lab, "boot", "quick", "web")
        assert (told.status, told.out) == (1, "")
        assert "No space left on device" in told.err, told.err
        assert images(lab, "ham0") == ["full"]
    sh(lab, "ham0", f"rm {IMAGES}/full; echo precious >{IMAGES}/web.qcow2")
    complains(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: {IMAGES}/web.qcow2 is there already")
    assert sh(lab, "ham0", f"cat {IMAGES}/web.qcow2") == "precious\n"


def test_a_temporary_directory_that_is_full(lab: RealLab) -> None:
    sh(lab, "ham0", "mount -t tmpfs -o size=4K none /tmp; head -c 1M /dev/zero >/tmp/full || true")
    try:
        for _ in range(4):
            complains(mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: the template did not arrive whole")
    finally:
        sh(lab, "ham0", "umount /tmp")
    assert images(lab, "ham0") == []


def test_a_build_that_fails(lab: RealLab, templates: Path) -> None:
    # What it has started goes on by itself, and does not listen.
    build = f"{BUILD}\n(trap '' TERM HUP; exec sleep 1000) &\necho 'step one'; echo 'no such luck' >&2; exit 3"
    template(templates, "bad", build=build)
    before = traces(lab, "ham0")
    told = mclu(lab, "boot", "bad", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err == (
        "mclu: ham0: the build failed with exit status 3, and what it made was removed. It said last:\n"
        "  step one\n  no such luck\n"
    )
    until(lambda: traces(lab, "ham0") == before)


def test_a_build_that_makes_no_disk(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build='echo >"$output.more"')
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "bad", "web"), f"ham0: the build made no disk; it has to make $output: {IMAGES}/web.")
    assert traces(lab, "ham0") == before
    # Its own description may need none.
    xml = OWN_XML.format(more="", device="")
    template(templates, "odd", build="true", xml="\n".join(line for line in xml.splitlines() if "<disk" not in line))
    assert mclu(lab, "boot", "odd", "web").out == "ham0:web running\n"


def test_a_disk_that_gets_full(lab: RealLab) -> None:
    sh(lab, "ham0", f"mount -t tmpfs -o size=4M none {IMAGES}")
    told = mclu(lab, "boot", "tiny", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("mclu: ham0: the build failed with exit status 1, and what it made was removed.")
    assert "No space left on device" in told.err
    assert images(lab, "ham0") == []
    assert states(lab, "ham0") == {}


REFUSED = {
    "defined": "<no-such-element/>",
    "started": "<disk type='file'><source file='/tmp/nowhere'/><target dev='vdb'/></disk>",
}


@pytest.mark.parametrize("step", REFUSED)
def test_what_libvirt_refuses(lab: RealLab, templates: Path, step: str) -> None:
    template(templates, "bad", xml=OWN_XML.format(more="", device=REFUSED[step]))
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "bad", "web"), f"ham0: the guest could not be {step}: libvirt: ")
    assert traces(lab, "ham0") == before


def test_a_guest_that_somebody_defines_during_the_build_is_left_alone(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    description = describe_guest(lab, "ham0", "web")
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        virsh(lab, "ham0", "define", description)
        virsh(lab, "ham0", "start", "web")
        open_gate(lab, "ham0")
        _, err = command.communicate(timeout=30)
    assert command.returncode == 1
    assert "the guest could not be defined: libvirt: " in err
    assert states(lab, "ham0") == {"web": "running"}
    assert images(lab, "ham0") == []


def test_a_libvirtd_that_dies_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "deadly", build=f"{BUILD}\nkill -KILL {LIBVIRTD}; tail --pid={LIBVIRTD} -f /dev/null")
    try:
        told = mclu(lab, "boot", "deadly", "web")
        complains(told, "ham0: the guest could not be defined: ", "libvirtd", "'destroy ham0:web'")
        until(lambda: images(lab, "ham0") == [])
        assert sh(lab, "ham0", "ls -A /tmp") == ""
    finally:
        lab.off("ham0")


def test_a_node_that_is_switched_off_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f'{BUILD}\ntouch "$output.more"\n{WAIT}')
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.off("ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: the connection was lost during the build; {MAY_BE_LEFT}\n"
    lab.on("ham0")
    # Nobody could remove what was there when the power went. Whether it is what that boot has made, or what its user
    # has made by hand since then, nobody can tell: it is for the user to remove.
    left = ["web.qcow2", "web.qcow2.more"]
    told = mclu(lab, "boot", "quick", "web")
    complains(told, f"ham0: nothing was built: {IMAGES}/web.qcow2 is there already; if no guest needs it", "remove it")
    assert [name for name in images(lab, "ham0") if not name.startswith(".")] == left
    sh(lab, "ham0", f"cd {IMAGES}; rm {' '.join(left)}")
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"


def test_what_boots_that_were_cut_off_have_left(lab: RealLab, templates: Path) -> None:
    """Names that are mclu's alone are swept away once nobody holds them; what may be a user's never is."""
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    left = ".mclu-old.booting .mclu-old.building"
    kept = "mine.qcow2 mine.qcow2.unfinished old.qcow2 old.qcow2.claim old.booting"
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        held = [".mclu-web.booting", ".mclu-web.building"]
        assert images(lab, "ham0") == held
        script = f"cd {IMAGES}; touch {left} {kept}; echo mclu >mine.qcow2.unfinished; touch -d '1 hour ago' .mclu-* *"
        sh(lab, "ham0", script)
        assert mclu(lab, "boot", "quick", "db").out == "ham0:db running\n"
        assert images(lab, "ham0") == sorted(["db.qcow2", *held, *kept.split()])
        open_gate(lab, "ham0")
        assert command.wait(30) == 0
    assert images(lab, "ham0") == sorted(["db.qcow2", "web.qcow2", *kept.split()])


def test_a_node_that_freezes_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.freeze("ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: the connection was lost during the build; {MAY_BE_LEFT}\n"
    lab.thaw("ham0")
    until(lambda: traces(lab, "ham0") == before)
