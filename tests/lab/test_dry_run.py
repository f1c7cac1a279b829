"""Dry runs on real nodes: nothing there is changed, and what is said is what a real run then does."""

import re
from pathlib import Path

import pytest

from tests.lab.support.cli import Told, left_behind, mclu, run_guest, started, virsh
from tests.lab.support.guests import (
    BUILD,
    IMAGES,
    SHIPPED,
    WAIT,
    make_ready,
    open_gate,
    sh,
    states,
    template,
    wait_for_gate,
)
from tests.lab.support.lab import RealLab

# All that a line could change, with the times of files and directories; logs aside, and what a login leaves.
_EVERYTHING = f"""
for name in $(virsh -q list --all --name); do virsh -q dumpxml "$name"; virsh -q dumpxml --inactive "$name"; done
virsh -q list --all
find {IMAGES} /var/lib/libvirt /etc/libvirt /tmp -printf '%p %s %b %m %T@ %C@ %l\\n' | sort
find /run ! -path '*/user/*' -printf '%p %m %l\\n' | sort
ps axww -o pid=,args= | grep -v -e 'sshd' -e ' ps axww' -e ' sh -c' -e ' grep -v' -e 'sort$'
"""


@pytest.fixture
def lab(lab4: RealLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealLab:
    """ham0 has the guests `web`, which runs, and `cold`, which does not; ham1 is empty; the others are off."""
    directory = tmp_path / "templates"
    directory.mkdir()
    template(directory, "quick")
    template(directory, "filled", BUILD + '; printf x >>"$output.more"')
    monkeypatch.setenv("MCLU_PATH", f"{directory}:{SHIPPED}")
    make_ready(lab4)
    for name in ("web", "cold"):
        assert mclu(lab4, "boot", "filled", f"ham0:{name}", "--size", "2M").status == 0
    virsh(lab4, "ham0", "destroy", "cold")
    return lab4


def everything(lab: RealLab) -> dict[str, str]:
    return {node: sh(lab, node, _EVERYTHING + "true") for node, state in lab.states().items() if state != "off"}


def dry(lab: RealLab, *words: str, given: str | None = None) -> Told:
    """A dry run, of which nothing is left."""
    before, theirs = everything(lab), left_behind(lab)
    told = mclu(lab, "--dry-run", *words, given=given)
    assert everything(lab) == before
    assert left_behind(lab) == theirs
    return told


def changes(lab: RealLab, line: str) -> str:
    """Return what a line says that it would do, before it really does it."""
    told = dry(lab, "-c", line)
    assert (told.status, told.err) == (0, ""), told
    done = mclu(lab, "-c", line)
    assert done.status == 0, done
    return told.out


def test_what_is_said_of_a_boot_is_what_it_makes(lab: RealLab) -> None:
    said = changes(lab, "boot tiny new --memory 160M --vcpus 1 --size 64M")
    expected = f"would boot ham0:new: tiny, 160M, 1vcpus, disk {IMAGES}/new.qcow2 (64M)"
    assert re.fullmatch(re.escape(expected) + r", with(out KVM| KVM if it works there)\n", said), said
    about = virsh(lab, "ham0", "dominfo", "new")
    assert re.search(rf"CPU\(s\): +1\nMax memory: +{160 << 10} KiB|Max memory: +{160 << 10} KiB", about)
    assert f"{IMAGES}/new.qcow2" in virsh(lab, "ham0", "dumpxml", "new")
    if said.endswith("without KVM\n"):
        assert "<domain type='qemu'" in virsh(lab, "ham0", "dumpxml", "new")


def test_what_is_said_of_destroying_is_what_goes_and_stays(lab: RealLab) -> None:
    sizes = dict(line.split() for line in sh(lab, "ham0", f"cd {IMAGES}; stat -c '%n %b' web.*").splitlines())
    said = changes(lab, "destroy web")
    files = re.findall(rf"^  would delete {IMAGES}/(\S+) \((\S+?)( bytes)?\)$", said, re.MULTILINE)
    assert said.startswith("would destroy ham0:web: running, ")
    assert [name for name, *_ in files] == sorted(sizes)
    assert sh(lab, "ham0", f"ls {IMAGES}").split() == ["cold.qcow2", "cold.qcow2.more"]


def test_what_would_be_gone_needs_nothing_any_more(lab: RealLab, tmp_path: Path) -> None:
    base = f"{IMAGES}/cold.qcow2"
    template(tmp_path / "templates", "linked", f'qemu-img create -q -f qcow2 -F qcow2 -b {base} "$output"')
    assert mclu(lab, "boot", "linked", "ham0:top").status == 0
    kept = dry(lab, "destroy", "cold").out
    assert re.search(rf"^  would keep {base} \(.*\)$", kept, re.MULTILINE), kept
    said = changes(lab, "destroy top; destroy cold")
    assert re.search(rf"^  would delete {base} \(", said, re.MULTILINE), said
    assert sh(lab, "ham0", f"ls {IMAGES}").split() == ["web.qcow2", "web.qcow2.more"]


def test_guests_are_started_and_stopped_as_said(lab: RealLab) -> None:
    assert changes(lab, "start cold") == "would start ham0:cold\n"
    assert changes(lab, "reboot --hard 'ham0:*'") == "would reset ham0:cold\nwould reset ham0:web\n"
    assert changes(lab, "shutdown cold --timeout 1 --force") == (
        "would shut down ham0:cold: ask it to, wait at most 1 s, and then stop it by force\n"
    )
    virsh(lab, "ham0", "suspend", "web")
    assert dry(lab, "shutdown", "web").err == mclu(lab, "shutdown", "web").err != ""
    assert changes(lab, "start web") == "would resume ham0:web\n"
    assert states(lab, "ham0") == {"cold": "shut off", "web": "running"}


def test_nodes_are_woken_and_switched_off_as_said(lab: RealLab) -> None:
    before = lab.states()
    said = dry(lab, "on", "ham2", "--wait").out
    config = (lab.path / "mclu.conf").read_text()
    mac = re.search(r"^ham2 .*mac=(\S+)", config, re.MULTILINE)
    assert mac
    assert re.fullmatch(
        rf"would wake ham2: a magic packet for {mac[1]} to \S+ port 9\n"
        r"would wait for ham2: at most 5 min, until libvirt answers there\n",
        said,
    )
    assert dry(lab, "off", "ham1", "ham2").out == "would switch off ham1: no guest runs on it\nwould leave ham2: off\n"
    # The power button has seen no packet, and nothing is on its way down.
    assert lab.states() == before
    assert mclu(lab, "on", "ham2", "--wait").status == 0
    assert mclu(lab, "off", "ham1", "ham2").out.split() != []
    assert [lab.states()[node] for node in ("ham1", "ham2")] == ["off", "off"]


def test_a_script_is_told_as_a_whole_and_then_runs(lab: RealLab, tmp_path: Path) -> None:
    script = tmp_path / "evening.mclu"
    script.write_text(
        "-destroy new\nboot quick new --memory 32M\nreboot --hard new\ndestroy web\nboot quick ham0:web\n"
        "destroy new\n-shutdown --force --timeout 1 'ham1:*'\n"
        "on ham2 --wait\nboot quick ham2:late\ndestroy late\noff ham2\n"
    )
    told = dry(lab, str(script))
    assert told.status == 0, told
    said = [line.removeprefix(f"{script}:") for line in told.out.splitlines() if not line.startswith(" ")]
    assert [line.partition(": ")[2].split(": ")[0] for line in said] == [
        "would boot ham0:new",
        "would reset ham0:new",
        "would destroy ham0:web",
        "would boot ham0:web",
        "would destroy ham0:new",
        "would wake ham2",
        "would wait for ham2",
        "would boot ham2:late",
        "would destroy ham2:late",
        "would switch off ham2",
    ]
    done = mclu(lab, str(script))
    assert done.status == 0, done
    assert [line.split(" ")[0] for line in done.out.splitlines() if line.startswith("ham")] == [
        "ham0:new", "ham0:new", "ham0:web", "ham0:web", "ham0:new", "ham2", "ham2:late", "ham2:late", "ham2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "spoil"),
    [
        (["boot", "quick", "web"], ""),
        (["boot", "quick", "ham2:new"], ""),
        (["boot", "quick", "ham0:new"], f"chmod 700 {IMAGES}; touch {IMAGES}/new.qcow2.more"),
        (["boot", "quick", "ham0:new"], f"mount -t tmpfs -o ro none {IMAGES}"),
        (["destroy", "*"], ""),
        (["off", "ham0", "ham1"], ""),
        (["boot", "absent", "ham0:new"], ""),
    ],
)
def test_the_errors_are_those_of_a_real_run(lab: RealLab, tmp_path: Path, words: list[str], spoil: str) -> None:
    # A program that the operator has, and the nodes have not.
    own = tmp_path / "own"
    own.symlink_to("/bin/sh")
    absent = tmp_path / "templates/absent.template"
    absent.write_text((tmp_path / "templates/quick.template").read_text().replace("#!/bin/sh", f"#!{own}"))
    absent.chmod(0o755)
    sh(lab, "ham0", spoil or "true")
    told = dry(lab, *words)
    done = mclu(lab, *words)
    assert (told.status, told.err) == (done.status, done.err)
    assert told.status == 1
    assert told.out in ("", "would leave ham1: on\n")


@pytest.mark.parametrize(
    ("line", "spoil", "fact"),
    [
        ("start cold", f"rm {IMAGES}/cold.qcow2", "No such file or directory"),
        ("start 'ham0:*'", f"rm {IMAGES}/cold.qcow2", "No such file or directory"),
        ("shutdown --force --timeout 1 theirs; start ham1:theirs", "", "no such guest 'theirs'"),
    ],
)
def test_what_would_not_start_is_told(lab: RealLab, line: str, spoil: str, fact: str) -> None:
    run_guest(lab, "ham1", "theirs")
    sh(lab, "ham0", spoil or "true")
    told = dry(lab, "-c", line)
    done = mclu(lab, "-c", line)
    assert (told.status, done.status) == (1, 1)
    assert fact in told.err, told
    assert fact in done.err, done


def test_a_disk_without_which_a_guest_may_start_is_not_missed(lab: RealLab) -> None:
    source = "<source file='/nosuch' startupPolicy='optional'/>"
    disc = f"<disk type='file' device='cdrom'>{source}<target dev='sdx' bus='sata'/></disk>"
    sh(lab, "ham0", f'echo "{disc}" >/tmp/disc.xml; virsh -q attach-device --config cold /tmp/disc.xml')
    assert changes(lab, "start cold") == "would start ham0:cold\n"


def test_a_boot_that_goes_on_is_found_and_not_disturbed(lab: RealLab, tmp_path: Path) -> None:
    template(tmp_path / "templates", "waiting", WAIT + "\n" + BUILD)
    with started(lab, "boot", "waiting", "new") as boot:
        wait_for_gate(lab, "ham0")
        told = dry(lab, "boot", "quick", "new")
        assert (told.status, told.err) == (1, "mclu: somebody else is booting a guest called 'new' at this moment\n")
        assert mclu(lab, "boot", "quick", "new").err == told.err
        open_gate(lab, "ham0")
        assert boot.wait(60) == 0


def test_a_guest_of_others_is_told_as_what_it_is(lab: RealLab) -> None:
    run_guest(lab, "ham1", "theirs")
    assert dry(lab, "destroy", "theirs").out == "would destroy ham1:theirs: running, 0 bytes on disk\n"
    assert dry(lab, "console", "theirs").err == mclu(lab, "console", "theirs").err
    assert dry(lab, "console", "web").out == "would open the console of ham0:web\n"
    assert dry(lab, "viewer", "--print", "web").out == "would open the address of the screen of ham0:web\n"
