"""Dry runs on real nodes: they change nothing, and predict what a real run does."""

import re
from pathlib import Path

import pytest

from tests.lab.support.cli import Result, background, mclu, run_guest, runtime_directories, virsh
from tests.lab.support.guests import BUILD, IMAGES, WAIT, open_gate, sh, states, template, wait_for_gate
from tests.lab.support.lab import RealLab

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

# Everything that a command could change, with the times of files, but without logs and traces of logins.
_EVERYTHING = f"""
for name in $(virsh -q list --all --name); do virsh -q dumpxml "$name"; virsh -q dumpxml --inactive "$name"; done
virsh -q list --all
find {IMAGES} /var/lib/libvirt /etc/libvirt /tmp -printf '%p %s %b %m %T@ %C@ %l\\n' | sort
find /run ! -path '*/user/*' -printf '%p %m %l\\n' | sort
ps axww -o pid=,args= | grep -v -e 'sshd' -e ' ps axww' -e ' sh -c' -e ' grep -v' -e 'sort$'
"""


@pytest.fixture(autouse=True)
def _guests(lab: RealLab, templates: Path) -> None:
    """Boot `web` and `cold` on ham0, and stop `cold`."""
    template(templates, "filled", BUILD + '; printf x >>"$output.more"')
    for name in ("web", "cold"):
        assert mclu(lab, "boot", "filled", f"ham0:{name}", "--size", "2M").status == 0
    virsh(lab, "ham0", "destroy", "cold")


def fetch_everything(lab: RealLab) -> dict[str, str]:
    return {node: sh(lab, node, _EVERYTHING + "true") for node, state in lab.states().items() if state != "off"}


def dry(lab: RealLab, *words: str, stdin: str | None = None) -> Result:
    """Run mclu with --dry-run, and assert that it changes nothing."""
    before, directories = fetch_everything(lab), runtime_directories(lab)
    result = mclu(lab, "--dry-run", *words, stdin=stdin)
    assert fetch_everything(lab) == before
    assert runtime_directories(lab) == directories
    return result


def dry_then_real(lab: RealLab, line: str) -> str:
    """Return the output of a dry run of a line, then really run it."""
    result = dry(lab, "-c", line)
    assert (result.status, result.err) == (0, ""), result
    completed = mclu(lab, "-c", line)
    assert completed.status == 0, completed
    return result.out


@pytest.fixture
def top(lab: RealLab, tmp_path: Path) -> str:
    """Boot `top`, whose disk is an overlay on that of `cold`; return the disk of `cold`."""
    base = f"{IMAGES}/cold.qcow2"
    template(tmp_path / "templates", "linked", f'qemu-img create -q -f qcow2 -F qcow2 -b {base} "$output"')
    assert mclu(lab, "boot", "linked", "ham0:top").status == 0
    return base


def test_dry_run_of_boot_predicts_the_guest(lab: RealLab) -> None:
    output = dry_then_real(lab, "boot tiny new --memory 160M --vcpus 1 --size 64M")
    expected = f"would boot ham0:new: tiny, 160M, 1vcpus, disk {IMAGES}/new.qcow2 (64M)"
    # Without KVM, the lab sets accel=tcg in mclu.conf.
    accel = {"with KVM": "kvm", "without KVM: accel=tcg in mclu.conf": "qemu"}
    head, _, tail = output.strip().rpartition(", ")
    assert head == expected
    about = virsh(lab, "ham0", "dominfo", "new")
    assert re.search(rf"CPU\(s\): +1\nMax memory: +{160 << 10} KiB|Max memory: +{160 << 10} KiB", about)
    assert f"{IMAGES}/new.qcow2" in virsh(lab, "ham0", "dumpxml", "new")
    assert f"<domain type='{accel[tail]}'" in virsh(lab, "ham0", "dumpxml", "new")


def test_dry_run_of_destroy_predicts_the_deleted_files(lab: RealLab) -> None:
    sizes = dict(line.split() for line in sh(lab, "ham0", f"cd {IMAGES}; stat -c '%n %b' web.*").splitlines())
    output = dry_then_real(lab, "destroy web")
    files = re.findall(rf"^  would delete {IMAGES}/(\S+) \((\S+?)( bytes)?\)$", output, re.MULTILINE)
    assert output.startswith("would destroy ham0:web: running, ")
    assert [name for name, *_ in files] == sorted(sizes)
    assert sh(lab, "ham0", f"ls {IMAGES}").split() == ["cold.qcow2", "cold.qcow2.more"]


def test_dry_run_ignores_overlays_of_guests_that_would_be_gone(lab: RealLab, top: str) -> None:
    kept = dry(lab, "destroy", "cold").out
    assert re.search(rf"^  would keep {top} \(.*\)$", kept, re.MULTILINE), kept
    output = dry_then_real(lab, "destroy top; destroy cold")
    assert re.search(rf"^  would delete {top} \(", output, re.MULTILINE), output
    assert sh(lab, "ham0", f"ls {IMAGES}").split() == ["web.qcow2", "web.qcow2.more"]


def test_dry_run_ignores_processes_of_guests_that_the_same_command_would_destroy(lab: RealLab, top: str) -> None:
    output = dry_then_real(lab, "destroy cold top")
    assert re.search(rf"^  would delete {top} \(", output, re.MULTILINE), output
    assert "keep" not in output
    assert sh(lab, "ham0", f"ls {IMAGES}").split() == ["web.qcow2", "web.qcow2.more"]


def test_dry_run_ignores_processes_and_live_changes_of_guests_that_would_be_stopped(lab: RealLab, top: str) -> None:
    more = f"{top}.more"
    disk = f"<disk type='file'><driver type='raw'/><source file='{more}'/><target dev='vdc' bus='virtio'/></disk>"
    sh(lab, "ham0", f'echo "{disk}" >/tmp/disk.xml; virsh -q attach-device --live top /tmp/disk.xml')
    kept = dry(lab, "destroy", "cold").out
    assert f"  would keep {more} (top uses it)" in kept
    output = dry_then_real(lab, "shutdown --force --timeout 1 top; destroy cold")
    assert re.search(rf"^  would keep {top} \(top uses it\)", output, re.MULTILINE), output
    assert re.search(rf"^  would delete {more} \(", output, re.MULTILINE), output
    assert sh(lab, "ham0", f"ls {IMAGES}").split() == ["cold.qcow2", "top.qcow2", "web.qcow2", "web.qcow2.more"]


def test_dry_run_predicts_start_reboot_and_shutdown(lab: RealLab) -> None:
    assert dry_then_real(lab, "start cold") == "would start ham0:cold\n"
    assert dry_then_real(lab, "reboot --hard 'ham0:*'") == "would reset ham0:cold\nwould reset ham0:web\n"
    assert dry_then_real(lab, "shutdown cold --timeout 1 --force") == (
        "would shut down ham0:cold: ask it to, wait at most 1 s, and then stop it by force\n"
    )
    virsh(lab, "ham0", "suspend", "web")
    assert dry(lab, "shutdown", "web").err == mclu(lab, "shutdown", "web").err != ""
    assert dry_then_real(lab, "start web") == "would resume ham0:web\n"
    assert states(lab, "ham0") == {"cold": "shut off", "web": "running"}


def test_dry_run_predicts_on_and_off(lab: RealLab) -> None:
    before = lab.states()
    output = dry(lab, "on", "ham2", "--wait").out
    config = (lab.path / "mclu.conf").read_text()
    mac = re.search(r"^ham2 .*mac=(\S+)", config, re.MULTILINE)
    assert mac
    assert re.fullmatch(
        rf"would wake ham2: a magic packet for {mac[1]} to \S+ port 9\n"
        r"would wait for ham2: at most 5 min, until libvirt answers there\n",
        output,
    )
    assert dry(lab, "off", "ham1", "ham2").out == "would switch off ham1: no guest runs on it\nwould leave ham2: off\n"
    # No packet was sent, and no node is shutting down.
    assert lab.states() == before
    assert mclu(lab, "on", "ham2", "--wait").status == 0
    assert mclu(lab, "off", "ham1", "ham2").out.split() != []
    assert [lab.states()[node] for node in ("ham1", "ham2")] == ["off", "off"]


def test_dry_run_predicts_a_whole_script(lab: RealLab, tmp_path: Path) -> None:
    script = tmp_path / "evening.mclu"
    script.write_text(
        "-destroy new\nboot quick new --memory 32M\nreboot --hard new\ndestroy web\nboot quick ham0:web\n"
        "destroy new\n-shutdown --force --timeout 1 'ham1:*'\n"
        "on ham2 --wait\nboot quick ham2:late\ndestroy late\noff ham2\n"
    )
    result = dry(lab, str(script))
    assert result.status == 0, result
    output = [line.removeprefix(f"{script}:") for line in result.out.splitlines() if not line.startswith(" ")]
    assert [line.partition(": ")[2].split(": ")[0] for line in output] == [
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
    completed = mclu(lab, str(script))
    assert completed.status == 0, completed
    assert [line.split(" ")[0] for line in completed.out.splitlines() if line.startswith("ham")] == [
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
def test_dry_run_fails_with_the_errors_of_a_real_run(
    lab: RealLab, tmp_path: Path, words: list[str], spoil: str
) -> None:
    # An interpreter that exists on this machine, but not on the nodes.
    own = tmp_path / "own"
    own.symlink_to("/bin/sh")
    absent = tmp_path / "templates/absent.template"
    absent.write_text((tmp_path / "templates/quick.template").read_text().replace("#!/bin/sh", f"#!{own}"))
    absent.chmod(0o755)
    sh(lab, "ham0", spoil or "true")
    result = dry(lab, *words)
    completed = mclu(lab, *words)
    assert (result.status, result.err) == (completed.status, completed.err)
    assert result.status == 1
    assert result.out in ("", "would leave ham1: on\n")


@pytest.mark.parametrize(
    ("line", "spoil", "fact"),
    [
        ("start cold", f"rm {IMAGES}/cold.qcow2", "No such file or directory"),
        ("start 'ham0:*'", f"rm {IMAGES}/cold.qcow2", "No such file or directory"),
        ("shutdown --force --timeout 1 theirs; start ham1:theirs", "", "no such guest 'theirs'"),
    ],
)
def test_dry_run_reports_a_guest_that_would_not_start(lab: RealLab, line: str, spoil: str, fact: str) -> None:
    run_guest(lab, "ham1", "theirs")
    sh(lab, "ham0", spoil or "true")
    result = dry(lab, "-c", line)
    completed = mclu(lab, "-c", line)
    assert (result.status, completed.status) == (1, 1)
    assert fact in result.err, result
    assert fact in completed.err, completed


def test_dry_run_ignores_a_missing_optional_disk(lab: RealLab) -> None:
    source = "<source file='/nosuch' startupPolicy='optional'/>"
    disc = f"<disk type='file' device='cdrom'>{source}<target dev='sdx' bus='sata'/></disk>"
    sh(lab, "ham0", f'echo "{disc}" >/tmp/disc.xml; virsh -q attach-device --config cold /tmp/disc.xml')
    assert dry_then_real(lab, "start cold") == "would start ham0:cold\n"


def test_dry_run_detects_a_running_boot_and_does_not_disturb_it(lab: RealLab, tmp_path: Path) -> None:
    template(tmp_path / "templates", "waiting", WAIT + "\n" + BUILD)
    with background(lab, "boot", "waiting", "new") as boot:
        wait_for_gate(lab, "ham0")
        result = dry(lab, "boot", "quick", "new")
        assert (result.status, result.err) == (
            1,
            "mclu: ham0: nothing was built: another boot of this name is in progress\n",
        )
        assert mclu(lab, "boot", "quick", "new").err == result.err
        open_gate(lab, "ham0")
        assert boot.wait(60) == 0


def test_dry_run_describes_a_guest_that_mclu_did_not_make(lab: RealLab) -> None:
    run_guest(lab, "ham1", "theirs")
    assert dry(lab, "destroy", "theirs").out == "would destroy ham1:theirs: running, 0 bytes on disk\n"
    assert dry(lab, "console", "theirs").err == mclu(lab, "console", "theirs").err
    assert dry(lab, "console", "web").out == "would open the console of ham0:web\n"
    assert dry(lab, "viewer", "--print", "web").out == "would open the address of the screen of ham0:web\n"
