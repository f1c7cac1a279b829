"""Checks on facts that no node of the lab has: real hardware, other distributions, the results of the KVM test."""

import subprocess
from collections.abc import Mapping

import pytest

from mclu_shell.cloud.boot.kvm_probe import KVMResult, KVMStatus
from mclu_shell.cloud.doctor.checks.clock import check_clock
from mclu_shell.cloud.doctor.checks.kvm import check_kvm
from mclu_shell.cloud.doctor.checks.libvirt import check_boot, check_libvirt
from mclu_shell.cloud.doctor.checks.power import check_power_off, check_wake, check_wake_at_boot
from mclu_shell.cloud.doctor.checks.programs import check_template_programs
from mclu_shell.cloud.doctor.checks.storage import check_images, check_reach
from mclu_shell.cloud.doctor.examination import Examination
from mclu_shell.cloud.doctor.facts import parse_facts
from mclu_shell.cloud.doctor.finding import Finding
from mclu_shell.cloud.doctor.script import SCRIPT
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.cloud.doctor.table import judge
from mclu_shell.cloud.guests.survey import Survey
from mclu_shell.cloud.hypervisor.capabilities import Host
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, MCluError, NodeFault, SSHFault, SSHRefused

# A healthy Debian.
HEALTHY = """\
time 1795934389.815598709
user 0 root
server 10.0.0.9 50000 10.0.0.1 22
os debian
systemd
unit libvirtd.service enabled
unit libvirtd.socket enabled
can-power-off
kvm-device
cpu vmx
program libvirtd
program ethtool
program sudo
program flock
program setsid
program timeout
program qemu-img
nic enp3s0 74:d4:35:51:ab:86 physical enabled
supports enp3s0 pumbg
wol enp3s0 g
link enp3s0 /usr/lib/systemd/network/99-default.link
armed-by enp3s0 /etc/network/interfaces
nic br0 74:d4:35:51:ab:86 bridge -
parent 711 0 0 - /var/lib/libvirt/images
parent 755 0 0 - /
writable
space 4096 9999999 100000 90000
images examined
end
"""
# ID, then ID_LIKE.
OS = {
    "debian": "debian",
    "ubuntu": 'linuxmint\nos "ubuntu debian"',
    "fedora": "fedora",
    "rhel": '"rocky"\nos "rhel centos fedora"',
    "arch": "arch",
    "suse": '"opensuse-tumbleweed"\nos "opensuse suse"',
    "generic": "gentoo",
}


def subject(
    text: str = HEALTHY,
    *,
    fault: NodeFault | None = None,
    kvm: KVMResult | str | None = None,
    ahead_s: float = 0.0,
    others: tuple[float, ...] = (),
    programs: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
) -> Subject:
    node = NodeConfig("ham0", mac="74:d4:35:51:ab:86")
    host = Host("u", 9_000_000, (64055, 64055), {}) if fault is None else None
    own = Examination(node, fault, host, parse_facts("ham0", text), ahead_s, kvm=kvm)
    rest = [Examination(NodeConfig("ham1"), ahead_s=other) for other in others]
    return Subject(own, rest, Survey({}, {}, {}), programs or {})


def changed(*pairs: str) -> str:
    """Return the facts with each line of a pair replaced by the next; an empty one removes it."""
    text = HEALTHY
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert f"{old}\n" in text
        text = text.replace(f"{old}\n", f"{new}\n" if new else "")
    return text


def outline(finding: Finding) -> tuple[str, str]:
    return finding.verdict.value, finding.repair or finding.remedy.removeprefix("on the node, as root: ")


@pytest.mark.parametrize(
    ("result", "verdict", "fact"),
    [
        (KVMResult(KVMStatus.WORKS, "0.2 s"), "ok", "KVM works: 0.2 s"),
        (KVMResult(KVMStatus.UNTESTED, "busy"), "warning", "KVM could not be tested: busy"),
        (KVMResult(KVMStatus.TOO_SLOW, "9 s"), "fault", "KVM is too slow, so guests run without KVM: 9 s"),
        (KVMResult(KVMStatus.FAILS, "MSR"), "fault", "KVM does not work, so guests run without KVM: MSR"),
        ("no kvm", "fault", "libvirt offers no KVM, so guests run without KVM: no kvm"),
        (None, "not checked", "another hypervisor"),
    ],
)
def test_each_result_of_the_kvm_test_has_a_verdict(result: KVMResult | str | None, verdict: str, fact: str) -> None:
    finding = check_kvm(subject(kvm=result))
    assert (finding.verdict, finding.fact) == (verdict, fact)
    assert bool(finding.remedy) == (verdict in ("warning", "fault"))


def test_a_missing_kvm_device_is_repaired_or_explained() -> None:
    assert check_kvm(subject(changed("kvm-device", ""), kvm="x")).repair == "modprobe kvm_intel"
    disabled = check_kvm(subject(changed("kvm-device", "", "cpu vmx", "cpu "), kvm="x"))
    assert disabled.remedy.startswith("enable virtualization")


@pytest.mark.parametrize(
    ("pairs", "now", "at_boot"),
    [
        ((), ("ok", ""), ("ok", "")),
        # No ethtool: sysfs decides.
        (("supports enp3s0 pumbg", "", "wol enp3s0 g", ""), ("ok", ""), ("ok", "")),
        (("wol enp3s0 g", "wol enp3s0 d"), ("fault", "ethtool -s enp3s0 wol g"), ("ok", "")),
        (
            ("nic enp3s0 74:d4:35:51:ab:86 physical enabled", "nic enp3s0 74:d4:35:51:ab:86 physical disabled"),
            ("fault", "echo enabled >/sys/class/net/enp3s0/device/power/wakeup"),
            ("ok", ""),
        ),
        (
            ("armed-by enp3s0 /etc/network/interfaces", ""),
            ("ok", ""),
            (
                "warning",
                "mkdir -p /etc/systemd/network/99-default.link.d && printf '[Link]\\nWakeOnLan=magic\\n' "
                ">/etc/systemd/network/99-default.link.d/wake-on-lan.conf",
            ),
        ),
        (
            ("nic enp3s0 74:d4:35:51:ab:86 physical enabled", "nic eno1 00:00:00:00:00:01 physical -",
             "nic br0 74:d4:35:51:ab:86 bridge -", ""),
            ("fault", "set mac= in mclu.conf: 00:00:00:00:00:01 (eno1)"),
            ("not checked", ""),
        ),
    ],
)  # fmt: skip
def test_wake_on_lan_is_judged_now_and_at_boot(
    pairs: tuple[str, ...], now: tuple[str, str], at_boot: tuple[str, str]
) -> None:
    one = subject(changed(*pairs))
    assert outline(check_wake(one)) == now
    assert outline(check_wake_at_boot(one)) == at_boot


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("debian", "apt install guestfs-tools xorriso"),
        ("ubuntu", "apt install guestfs-tools xorriso"),
        ("fedora", "dnf install guestfs-tools xorriso"),
        ("rhel", "dnf install guestfs-tools xorriso"),
        ("arch", "pacman -S guestfs-tools libisoburn"),
        ("suse", "zypper install guestfs-tools xorriso"),
        ("generic", "install guestfs-tools xorriso"),
    ],
)
def test_remedies_are_for_the_distribution(name: str, command: str) -> None:
    needs = {("virt-builder",): ("fedora",), ("xorrisofs", "mkisofs"): ("debian-cloud",), ("ethtool", "x"): ("y",)}
    finding = check_template_programs(subject(changed("os debian", f"os {OS[name]}"), programs=needs))
    assert outline(finding) == ("warning", command)
    assert finding.fact.startswith("has no virt-builder and no xorrisofs or mkisofs, for the templates debian-cloud, ")


def test_a_stopped_or_missing_libvirt_has_the_remedy_of_its_daemon() -> None:
    down = LibvirtDown("libvirtd not running", place="ham0", remedy="x", is_stopped=True)
    assert check_libvirt(subject(fault=down)).repair == "systemctl start libvirtd.socket"
    split = HEALTHY.replace("libvirtd", "virtqemud").replace("enabled\nunit", "disabled\nunit")
    split = split.replace(".socket enabled", ".socket disabled")
    assert check_libvirt(subject(split, fault=down)).repair == "systemctl start virtqemud.socket"
    assert check_boot(subject(split)).repair == "systemctl enable virtqemud.socket"
    none = check_libvirt(subject(changed("program libvirtd", ""), fault=down))
    assert outline(none) == ("fault", "apt install libvirt-daemon-system")
    polkit = LibvirtFault("libvirt: authentication unavailable: no polkit agent", place="ham0")
    user = changed("user 0 root", "user 1000 ann")
    assert outline(check_libvirt(subject(user, fault=polkit))) == ("fault", "usermod -aG libvirt ann")


@pytest.mark.parametrize("kind", [ConnectionLost, LibvirtFault, NodeFault, SSHFault, SSHRefused])
def test_each_error_of_the_connection_is_a_fault_of_one_check(kind: type[NodeFault]) -> None:
    one = subject(fault=kind("broken", place="ham0"))
    faults = [finding.check for finding in judge(one) if finding.verdict == "fault"]
    assert faults == ["forwarding" if issubclass(kind, SSHFault) else "libvirt"]


def test_a_user_without_rights_gets_the_commands_for_them() -> None:
    user = changed("user 0 root", "user 1000 ann", "writable", "", "can-power-off", "no-power-off sudo: a password")
    assert outline(check_images(subject(user)))[1].startswith("usermod -aG libvirt ann && chgrp libvirt /var/lib/libvi")
    rule = "echo 'ann ALL=(root) NOPASSWD: /usr/sbin/poweroff' >/etc/sudoers.d/mclu"
    assert outline(check_power_off(subject(user))) == ("fault", rule)
    without_sudo = check_power_off(subject(user.replace("program sudo\n", "")))
    assert outline(without_sudo) == ("fault", f"apt install sudo && {rule}")
    assert without_sudo.fact == "ann cannot run poweroff: there is no sudo"


@pytest.mark.parametrize(
    ("parent", "verdict"),
    [
        ("parent 711 0 0 - /", "ok"),
        ("parent 700 0 0 - /", "fault"),
        ("parent 700 64055 0 - /", "ok"),
        # An ACL, or a further group of QEMU's user, may open it.
        ("parent 700 0 0 + /", "not checked"),
        ("parent 710 0 0 - /", "not checked"),
    ],
)
def test_the_way_to_the_images_is_judged_by_modes_without_root(parent: str, verdict: str) -> None:
    assert check_reach(subject(changed("parent 755 0 0 - /", parent))).verdict == verdict


def test_a_clock_that_differs_from_all_nodes_is_that_of_this_machine() -> None:
    assert outline(check_clock(subject(ahead_s=1.0)))[0] == "ok"
    assert outline(check_clock(subject(ahead_s=-5.0, others=(0.0,)))) == ("warning", "timedatectl set-ntp true")
    assert outline(check_clock(subject(ahead_s=90.0, others=(91.0,)))) == ("fault", "set the clock of this machine")


def test_facts_are_parsed_strictly() -> None:
    hostile = "user 0 a b\nnic x\nparent 99 0 0 - /\nspace 1 2\nfile relative\nunit a b c\nserver x y\n" + HEALTHY[-4:]
    facts = parse_facts("ham0", hostile)
    assert (facts.user, facts.nics, facts.images.parents, facts.images.free_blocks) == ("", (), (), None)
    assert (facts.images.files, facts.units, facts.server) == ((), {}, None)
    for incomplete in ("", HEALTHY.removesuffix("end\n"), "x\n" * 20_000 + "end\n"):
        with pytest.raises(MCluError, match="incomplete output"):
            parse_facts("ham0", incomplete)


def test_the_script_ends_on_this_machine_with_any_directory() -> None:
    for images in ("/", "/nosuch", "/tmp/it's $(here)"):
        argv = ["sh", "-c", SCRIPT, "sh", images, "", "", "", "sh", "no-such-program"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        facts = parse_facts("ham0", done.stdout)
        assert facts.programs == {"sh"}
        assert (facts.images.exists, facts.images.has_answered) == (images == "/", True)
