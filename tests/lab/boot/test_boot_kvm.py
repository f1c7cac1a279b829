"""boot on real nodes with and without KVM: the acceleration that it chooses and reports."""

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.support.boot import OWN_XML
from tests.lab.support.cli import Result, background, mclu, python, virsh, wait_until
from tests.lab.support.guests import IMAGES, send_signal, sh, template, traces
from tests.lab.support.lab import RealLab
from tests.output.schema_check import read_one

# A stand-in for the emulator. It records each KVM probe, in which it runs {kvm} with KVM and {tcg} without. Guests run
# without KVM; libvirt's queries go to QEMU itself.
_EMULATOR = """#!/bin/sh
case "$*" in
    *isa-debugcon*)
        echo "$*" >>/root/tests
        case "$*" in *"-accel kvm"*) {kvm} ;; *) {tcg} ;; esac ;;
esac
case "$*" in
    *isa-debugcon*|*guest=*)
        for argument; do
            shift
            case $argument in kvm) argument=tcg ;; host | host,*) argument=max ;; esac
            set -- "$@" "$argument"
        done ;;
esac
exec /usr/bin/qemu-system-i386 "$@"
"""
# libvirt queries the capabilities of the emulator again when its mtime changes.
_INSTALL = """
umount -q /dev/kvm
mount --bind "$(readlink -f /usr/bin/qemu-system-x86_64)" /usr/bin/qemu-system-i386
chmod 755 /root/emulator
mount --bind /root/emulator /usr/bin/qemu-system-x86_64
"""
_HAS_KVM = Path("/dev/kvm").exists() and stat.S_ISCHR(Path("/dev/kvm").stat().st_mode)
needs_kvm = pytest.mark.skipif(not _HAS_KVM, reason="libvirt offers KVM only where there is a /dev/kvm")


@pytest.fixture
def kvm_lab(lab: RealLab, templates: Path) -> Iterator[RealLab]:
    """The lab with accel=auto in mclu.conf."""
    config = (lab.path / "mclu.conf").read_text()
    configure(lab, "accel=auto")
    yield lab
    (lab.path / "mclu.conf").write_text(config)
    # A power cut removes the stand-in.
    lab.off("ham0")
    (lab.path / "home/.cache/mclu/kvm-ham0.json").unlink(missing_ok=True)


def configure(lab: RealLab, setting: str) -> None:
    config = re.sub(r"^accel=.*\n", "", (lab.path / "mclu.conf").read_text(), flags=re.MULTILINE)
    (lab.path / "mclu.conf").write_text(config.replace("[global]\n", f"[global]\n{setting}\n"))


def install(lab: RealLab, kvm: str, tcg: str = ":") -> None:
    """Put a stand-in for the emulator on ham0."""
    lab.run("tee", "/root/emulator", node="ham0", input=_EMULATOR.format(kvm=kvm, tcg=tcg))
    sh(lab, "ham0", f"rm -f /root/tests; {_INSTALL}")
    assert "<domain>kvm</domain>" in virsh(lab, "ham0", "domcapabilities", "--virttype", "kvm")


def probes(lab: RealLab) -> int:
    return len(sh(lab, "ham0", "cat /root/tests 2>/dev/null || true").splitlines())


@contextmanager
def result_is_cached(lab: RealLab) -> Iterator[None]:
    """Let a dry run probe KVM, and assert that the block does not. A busy node needs more runs for a probe."""
    before = probes(lab)
    assert mclu(lab, "-n", "boot", "quick", "ham0:web").status == 0
    first = probes(lab)
    assert first > before
    yield
    assert probes(lab) == first


def virt_type(lab: RealLab, name: str) -> str:
    match = re.search(r"<domain type='(\w+)'", virsh(lab, "ham0", "dumpxml", "--inactive", name))
    assert match
    return match[1]


def assert_reported(lab: RealLab, virt: str, accel: str, reason: str, warning: str) -> None:
    """Assert that dry runs and boots report the same acceleration in text and JSON; `reason` is part of the reason."""
    dry = mclu(lab, "-n", "boot", "quick", "ham0:web")
    assert (dry.status, dry.err) == (0, ""), dry
    planned = read_one(mclu(lab, "-o", "json", "-n", "boot", "quick", "ham0:web").out)
    result = mclu(lab, "boot", "quick", "ham0:web")
    booted = read_one(mclu(lab, "-o", "json", "boot", "quick", "ham0:db").out)
    assert (result.status, result.err) == (0, ""), result
    assert {virt_type(lab, name) for name in ("web", "db")} == {virt}
    assert planned["accel"] == booted["accel"] == accel
    reported = booted["accel_reason"] or ""
    assert (planned["accel_reason"] or "") == reported
    assert (reason in reported) if reason else not reported
    shown = f"{warning}{reported}" if warning else ""
    assert result.out == "ham0:web running\n" + (f"  {shown}\n" if shown else "")
    assert dry.out.endswith(f", {shown or ('with KVM' if accel == 'kvm' else f'without KVM: {reported}')}\n")


@needs_kvm
def test_kvm_that_works_is_used(kvm_lab: RealLab) -> None:
    install(kvm_lab, ":")
    with result_is_cached(kvm_lab):
        assert_reported(kvm_lab, "kvm", "kvm", "", "")


@needs_kvm
def test_kvm_that_is_too_slow_is_not_used(kvm_lab: RealLab) -> None:
    install(kvm_lab, "exec sleep 60")
    with result_is_cached(kvm_lab):
        assert_reported(kvm_lab, "qemu", "tcg", "it is too slow: the firmware takes over ", "without KVM: ")


@needs_kvm
def test_kvm_that_does_not_work_is_not_used(kvm_lab: RealLab) -> None:
    install(kvm_lab, "echo 'qemu: failed to set MSR' >&2; kill -ABRT $$")
    assert_reported(kvm_lab, "qemu", "tcg", "it does not work: failed to set MSR", "without KVM: ")


@needs_kvm
def test_kvm_that_could_not_be_tested_is_used_with_a_warning(kvm_lab: RealLab) -> None:
    install(kvm_lab, "kill -KILL $$")
    assert_reported(kvm_lab, "kvm", "kvm", "the emulator was killed", "with KVM, not tested: ")
    # This result may change, so it is not cached.
    assert probes(kvm_lab) == 4


@needs_kvm
def test_the_configuration_can_use_kvm_without_a_test(kvm_lab: RealLab) -> None:
    install(kvm_lab, "exit 1")
    configure(kvm_lab, "accel=kvm")
    assert_reported(kvm_lab, "kvm", "kvm", "", "")
    assert probes(kvm_lab) == 0


@needs_kvm
def test_the_configuration_can_forbid_kvm(kvm_lab: RealLab) -> None:
    install(kvm_lab, ":")
    configure(kvm_lab, "accel=tcg")
    assert_reported(kvm_lab, "qemu", "tcg", "accel=tcg in mclu.conf", "")
    assert probes(kvm_lab) == 0


@needs_kvm
def test_a_cached_kvm_result_is_dropped_when_the_node_boots(kvm_lab: RealLab) -> None:
    install(kvm_lab, ":")
    for turn in (1, 2):
        with result_is_cached(kvm_lab):
            assert mclu(kvm_lab, "boot", "quick", f"ham0:web{turn}").out == f"ham0:web{turn} running\n"
        boot_id = "/proc/sys/kernel/random/boot_id"
        sh(kvm_lab, "ham0", f"tr '0-9a-f' '1-9a-f0' <{boot_id} >/root/boot_id; mount --bind /root/boot_id {boot_id}")


@needs_kvm
def test_the_kvm_probe_needs_no_file_on_the_node(kvm_lab: RealLab) -> None:
    install(kvm_lab, "exit 1")
    sh(kvm_lab, "ham0", "mount -t tmpfs -o size=4k none /tmp; head -c 8k /dev/zero >/tmp/full || true")
    before = traces(kvm_lab, "ham0")
    probed = python(
        kvm_lab,
        "import json, os; from pathlib import Path; from mclu_shell.cloud.open import open_cloud\n"
        "from mclu_shell.cloud.boot.kvm_probe import probe_kvm; from mclu_shell.config import load_config\n"
        "node = open_cloud(load_config(Path(os.environ['MCLU_CONFIG']))).nodes[0]\n"
        "print(json.dumps(probe_kvm(node, '/usr/bin/qemu-system-x86_64', 'x86_64').reason))",
    )
    assert json.loads(probed) == "exit status 1"
    assert traces(kvm_lab, "ham0") == before


@needs_kvm
@pytest.mark.parametrize("name", ["INT", "KILL"])
def test_the_emulator_of_the_kvm_probe_ends_with_mclu(kvm_lab: RealLab, name: str) -> None:
    install(kvm_lab, "exit 1", "exec sleep 1234")
    search = "pgrep -fx '[s]leep 1234' || true"
    with background(kvm_lab, "-n", "boot", "quick", "ham0:web") as command:
        wait_until(lambda: sh(kvm_lab, "ham0", search))
        send_signal(command, name)
        # The probe itself ends after 20 s.
        wait_until(lambda: not sh(kvm_lab, "ham0", search), 10)


def test_the_xml_of_a_template_decides_about_kvm(kvm_lab: RealLab, tmp_path: Path) -> None:
    template(tmp_path / "templates", "quick", xml=OWN_XML.format(more="", device=""))
    assert_reported(kvm_lab, "qemu", "tcg", "type='qemu' in the template's xml", "")


# Without KVM


def hide_kvm(lab: RealLab) -> None:
    """Hide /dev/kvm on ham0 from libvirt."""
    if _HAS_KVM:
        sh(lab, "ham0", "touch /root/no-kvm; mount --bind /root/no-kvm /dev/kvm; mount -o remount,ro,bind /dev/kvm")
    assert lab.run("virsh", "domcapabilities", "--virttype", "kvm", node="ham0").returncode != 0


def test_boot_reports_a_node_without_kvm(kvm_lab: RealLab) -> None:
    hide_kvm(kvm_lab)
    assert_reported(kvm_lab, "qemu", "tcg", "libvirt does not offer it: ", "without KVM: ")


def test_boot_fails_if_the_configuration_requires_kvm_and_libvirt_offers_none(kvm_lab: RealLab) -> None:
    hide_kvm(kvm_lab)
    configure(kvm_lab, "accel=kvm")
    for words in ((), ("-n",)):
        result: Result = mclu(kvm_lab, *words, "boot", "quick", "ham0:web")
        assert (result.status, result.out) == (1, "")
        assert result.err.startswith("mclu: ham0: libvirt offers no KVM: "), result
        assert "accel=kvm" in result.err
    assert sh(kvm_lab, "ham0", f"ls {IMAGES}") == ""
