"""boot on real nodes when a step fails: nothing is left behind."""

import re
from pathlib import Path

import pytest

from tests.lab.support.boot import LIBVIRTD, MAY_BE_LEFT, OWN_XML, assert_error
from tests.lab.support.cli import background, describe_guest, mclu, virsh, wait_until
from tests.lab.support.guests import BUILD, IMAGES, WAIT, images, open_gate, sh, states, template, traces, wait_for_gate
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]


def test_a_build_that_makes_a_directory_fails_and_the_directory_is_removed(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build=f'{BUILD}; mkdir -p "$output.d/deep"')
    before = traces(lab, "ham0")
    result = mclu(lab, "boot", "bad", "web")
    assert_error(
        result, f"ham0: build failed: {IMAGES}/web.qcow2.d is not a regular file", "removed", "working directory"
    )
    assert traces(lab, "ham0") == before


BACKING = "qemu-img create -q -f qcow2"
LOST = {
    "backing file": f'{BACKING} "$PWD/bk" 1M; {BACKING} -F qcow2 -b "$PWD/bk" "$output"',
    "second backing file": f'{BACKING} bk 1M; {BACKING} -F qcow2 -b "$PWD/bk" "$output.base"; '
    f'{BACKING} -F qcow2 -b "$output.base" "$output"',
    "data file": f'{BACKING} -o data_file="$PWD/bk",data_file_raw=on "$output" 1M',
    "backing file of the trap": f'b=$(mktemp); trap \'rm "$b"\' EXIT; {BACKING} "$b" 1M; '
    f'{BACKING} -F qcow2 -b "$b" "$output"',
}


@pytest.mark.parametrize("build", LOST.values(), ids=LOST)
@pytest.mark.parametrize("xml", ["exit 2", OWN_XML.format(more="", device="")], ids=["", "own XML"])
def test_a_disk_must_not_need_a_file_that_the_end_of_the_build_removes(
    lab: RealLab, templates: Path, build: str, xml: str
) -> None:
    template(templates, "bad", build=build, xml=xml)
    before = traces(lab, "ham0")
    result = mclu(lab, "boot", "bad", "web")
    assert_error(result, "bad: cannot read the disk and its backing files after the build: Could not open '/tmp/")
    assert "No such file or directory" in result.err
    assert traces(lab, "ham0") == before


@pytest.mark.parametrize("file", ["$output", "$output.kernel"])
def test_a_link_into_the_working_directory_of_the_build_is_an_error(lab: RealLab, templates: Path, file: str) -> None:
    template(templates, "bad", build=f'{BUILD}; mv "$output" disk; cp disk "$output"; ln -sf "$PWD/disk" "{file}"')
    before = traces(lab, "ham0")
    name = file.replace("$output", f"{IMAGES}/web.qcow2")
    assert_error(mclu(lab, "boot", "bad", "web"), f"bad: the build made {name} a link to a file that does not exist")
    assert traces(lab, "ham0") == before


def test_a_disk_may_have_a_backing_file_that_stays(lab: RealLab, templates: Path) -> None:
    build = f'{BACKING} "$output.base" 1M; {BACKING} -F qcow2 -b "${{output##*/}}.base" "$output"'
    template(templates, "based", build=build)
    assert mclu(lab, "boot", "based", "web").out == "ham0:web running\n"


@pytest.mark.parametrize("status", [0, 3])
def test_the_last_line_of_a_build_may_lack_a_newline(lab: RealLab, templates: Path, status: int) -> None:
    template(templates, "hasty", build=f"{BUILD}; printf 'done 100%%'; exit {status}")
    result = mclu(lab, "boot", "hasty", "web")
    if status:
        assert result.err.endswith(
            "failed with exit status 3 (build output was removed). Its last lines:\n  done 100%\n"
        )
        return
    assert result.out == "ham0:web running\n"
    assert re.findall("<mclu:file.*>(.*)</mclu:file>", virsh(lab, "ham0", "dumpxml", "web")) == [f"{IMAGES}/web.qcow2"]


def test_boot_fails_while_the_directory_of_images_is_full(lab: RealLab) -> None:
    """A claim that a failed boot leaves there must not mark a disk of the user as mclu's."""
    fill = f"head -c 1M /dev/zero >{IMAGES}/full"
    sh(lab, "ham0", f"mount -t tmpfs -o size=64K none {IMAGES}; {fill} || true")
    for _ in range(4):
        result = mclu(lab, "boot", "quick", "web")
        assert (result.status, result.out) == (1, "")
        assert "No space left on device" in result.err, result.err
        assert images(lab, "ham0") == ["full"]
    sh(lab, "ham0", f"rm {IMAGES}/full; echo precious >{IMAGES}/web.qcow2")
    assert_error(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: {IMAGES}/web.qcow2 already exists")
    assert sh(lab, "ham0", f"cat {IMAGES}/web.qcow2") == "precious\n"


def test_boot_fails_while_the_temporary_directory_is_full(lab: RealLab) -> None:
    sh(lab, "ham0", "mount -t tmpfs -o size=4K none /tmp; head -c 1M /dev/zero >/tmp/full || true")
    try:
        for _ in range(4):
            assert_error(
                mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: the template did not arrive completely"
            )
    finally:
        sh(lab, "ham0", "umount /tmp")
    assert images(lab, "ham0") == []


def test_a_failed_build_is_reported_with_its_last_lines_and_removed(lab: RealLab, templates: Path) -> None:
    # The build leaves a background process that ignores signals.
    build = f"{BUILD}\n(trap '' TERM HUP; exec sleep 1000) &\necho 'step one'; echo 'no such luck' >&2; exit 3"
    template(templates, "bad", build=build)
    before = traces(lab, "ham0")
    result = mclu(lab, "boot", "bad", "web")
    assert (result.status, result.out) == (1, "")
    assert result.err == (
        "mclu: ham0: build failed with exit status 3 (build output was removed). Its last lines:\n"
        "  step one\n  no such luck\n"
    )
    wait_until(lambda: traces(lab, "ham0") == before)


def test_a_build_without_a_disk_fails_unless_the_xml_needs_none(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build='echo >"$output.more"')
    before = traces(lab, "ham0")
    assert_error(
        mclu(lab, "boot", "bad", "web"), f"ham0: the build created no disk; write the disk to $output: {IMAGES}/web."
    )
    assert traces(lab, "ham0") == before
    # A template with its own XML may need no disk.
    xml = OWN_XML.format(more="", device="")
    template(templates, "odd", build="true", xml="\n".join(line for line in xml.splitlines() if "<disk" not in line))
    assert mclu(lab, "boot", "odd", "web").out == "ham0:web running\n"


def test_a_build_fails_when_the_disk_of_the_node_gets_full(lab: RealLab) -> None:
    sh(lab, "ham0", f"mount -t tmpfs -o size=4M none {IMAGES}")
    result = mclu(lab, "boot", "tiny", "web")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("mclu: ham0: build failed with exit status 1 (build output was removed).")
    assert "No space left on device" in result.err
    assert images(lab, "ham0") == []
    assert states(lab, "ham0") == {}


def test_a_guest_that_libvirt_cannot_start_is_removed(lab: RealLab, templates: Path) -> None:
    device = "<disk type='file'><source file='/tmp/nowhere'/><target dev='vdb'/></disk>"
    template(templates, "bad", xml=OWN_XML.format(more="", device=device))
    before = traces(lab, "ham0")
    assert_error(mclu(lab, "boot", "bad", "web"), "ham0: cannot start the guest: libvirt: ")
    assert traces(lab, "ham0") == before


NVRAM = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"


@pytest.mark.parametrize("is_old", [False, True])
def test_boot_removes_nvram_that_libvirt_made_and_keeps_that_of_an_earlier_guest(
    lab: RealLab, templates: Path, is_old: bool
) -> None:
    # QEMU rejects firmware of this size, after libvirt has made the NVRAM.
    sh(lab, "ham0", f"mkdir -p {NVRAM.rpartition('/')[0]}; head -c 1000 /dev/zero >/tmp/firmware")
    if is_old:
        sh(lab, "ham0", f"cp /tmp/firmware {NVRAM}")
    firmware = (
        f"<loader readonly='yes' type='pflash'>/tmp/firmware</loader><nvram template='/tmp/firmware'>{NVRAM}</nvram>"
    )
    xml = OWN_XML.format(more="", device="").replace("<type>hvm</type>", f"<type machine='q35'>hvm</type>{firmware}")
    template(templates, "bad", xml=xml.replace("</os>", "</os><features><acpi/></features>"))
    before = traces(lab, "ham0")
    try:
        assert_error(mclu(lab, "boot", "bad", "web"), "ham0: cannot start the guest: libvirt: ")
        assert traces(lab, "ham0") == before
    finally:
        sh(lab, "ham0", f"rm -f {NVRAM}")


BAD_DISKS = {
    'qemu-img create -q -f raw "$output" 1M': "a raw image instead of qcow2",
    'qemu-img create -q -f vmdk "$output" 1M': "a VMDK image instead of qcow2",
    'qemu-img create -q -f raw image 1M; xz image; mv image.xz "$output"': "a file compressed with xz instead of qcow2",
    ': >"$output"': "an empty file instead of qcow2",
}


@pytest.mark.parametrize("build", BAD_DISKS)
def test_a_disk_of_another_format_is_a_template_error(lab: RealLab, templates: Path, build: str) -> None:
    template(templates, "bad", build=build)
    before = traces(lab, "ham0")
    message = f"bad: the build made {BAD_DISKS[build]}"
    assert_error(mclu(lab, "boot", "bad", "ham0:web"), message, 'qemu-img convert -O "$format"')
    assert traces(lab, "ham0") == before
    # A template with its own XML may use any format.
    raw = OWN_XML.format(more="", device="").replace("$format", "raw")
    template(templates, "odd", build='qemu-img create -q -f raw "$output" 1M', xml=raw)
    assert mclu(lab, "boot", "odd", "ham0:web").out == "ham0:web running\n"


def test_a_template_without_build_is_a_template_error(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build="exit 2")
    assert_error(mclu(lab, "boot", "bad", "web"), "bad: 'build' is not supported")
    template(templates, "bad", build="ls /nowhere")
    result = mclu(lab, "boot", "bad", "web")
    assert result.err.startswith("mclu: ham0: build failed with exit status 2")


def test_a_guest_defined_by_others_during_the_build_is_not_changed(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    description = describe_guest(lab, "ham0", "web")
    with background(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        virsh(lab, "ham0", "define", description)
        virsh(lab, "ham0", "start", "web")
        open_gate(lab, "ham0")
        _, err = command.communicate(timeout=30)
    assert command.returncode == 1
    assert "cannot define the guest: libvirt: " in err
    assert states(lab, "ham0") == {"web": "running"}
    assert images(lab, "ham0") == []


def test_boot_cleans_up_when_libvirtd_dies_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "deadly", build=f"{BUILD}\nkill -KILL {LIBVIRTD}; tail --pid={LIBVIRTD} -f /dev/null")
    try:
        result = mclu(lab, "boot", "deadly", "web")
        assert_error(result, "ham0: cannot define the guest: ", "libvirtd", "'destroy ham0:web'")
        wait_until(lambda: images(lab, "ham0") == [])
        assert sh(lab, "ham0", "ls -A /tmp") == ""
    finally:
        lab.off("ham0")


def test_boot_reports_possible_leftovers_when_the_node_loses_power_during_the_build(
    lab: RealLab, templates: Path
) -> None:
    template(templates, "slow", build=f'{BUILD}\ntouch "$output.more"\n{WAIT}')
    with background(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.off("ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: the connection was lost during the build; {MAY_BE_LEFT}\n"
    lab.on("ham0")
    # The power cut prevented the cleanup. The files could also be the user's by now, so mclu does not remove them.
    leftovers = ["web.qcow2", "web.qcow2.more"]
    result = mclu(lab, "boot", "quick", "web")
    assert_error(
        result, f"ham0: nothing was built: {IMAGES}/web.qcow2 already exists; if no guest needs it", "remove it"
    )
    assert [name for name in images(lab, "ham0") if not name.startswith(".")] == leftovers
    sh(lab, "ham0", f"cd {IMAGES}; rm {' '.join(leftovers)}")
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"


def test_boot_removes_stale_files_of_interrupted_boots(lab: RealLab, templates: Path) -> None:
    """boot removes stale files with names that only mclu uses; it never removes a file that may be the user's."""
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    stale = ".mclu-old.building"
    kept = "mine.qcow2 mine.qcow2.unfinished old.qcow2 old.qcow2.claim old.building"
    with background(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        held = [".mclu-web.building"]
        assert images(lab, "ham0") == held
        script = f"cd {IMAGES}; touch {stale} {kept}; echo mclu >mine.qcow2.unfinished; touch -d '1 hour ago' .mclu-* *"
        sh(lab, "ham0", script)
        assert mclu(lab, "boot", "quick", "db").out == "ham0:db running\n"
        assert images(lab, "ham0") == sorted(["db.qcow2", *held, *kept.split()])
        open_gate(lab, "ham0")
        assert command.wait(30) == 0
    assert images(lab, "ham0") == sorted(["db.qcow2", "web.qcow2", *kept.split()])


def test_a_node_that_freezes_during_the_build_cleans_up_when_it_continues(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with background(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.freeze("ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: the connection was lost during the build; {MAY_BE_LEFT}\n"
    lab.thaw("ham0")
    wait_until(lambda: traces(lab, "ham0") == before)
