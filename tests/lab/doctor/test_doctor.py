"""doctor on real nodes: each kind of fault is found, with its remedy, and nothing on healthy nodes."""

from collections.abc import Iterator

import pytest

from tests.lab.doctor.conftest import Doctor, write_file
from tests.lab.support.cli import describe_guest, mclu, virsh
from tests.lab.support.guests import IMAGES, sh, states
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import terminal_command

NODES = ["ham0", "ham1", "ham2", "ham3"]
# Replaces a program of a node by a file that cannot be executed, until its power is cut.
_HIDE = 'touch /tmp/hidden; mount --bind /tmp/hidden "$(readlink -f "$(command -v {})")"'
_RESTART = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null; libvirtd --daemon"
_STOP = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null"
_SYSTEMCTL = """#!/bin/sh
echo "$*" >>/tmp/systemctl
case $1 in
    list-unit-files) echo 'libvirtd.service disabled enabled'; echo 'libvirtd.socket disabled enabled' ;;
    start) libvirtd --daemon ;;
esac
"""
# 100 seconds ahead.
_DATE = """#!/bin/sh
echo "time $(($(busybox date +%s) + 100)).5"
"""
_ETHTOOL = """#!/bin/sh
printf '\\tSupports Wake-on: pumbg\\n\\tWake-on: d\\n'
"""
_CARDS = """
mkdir -p /tmp/net/enp3s0/device/power /tmp/net/lo
echo {mac} >/tmp/net/enp3s0/address
echo disabled >/tmp/net/enp3s0/device/power/wakeup
mount --bind /tmp/net /sys/class/net
"""
_FULL = f"mount -t tmpfs -o size=8m tmpfs {IMAGES}"


@pytest.fixture
def restored(lab: RealLab) -> Iterator[None]:
    """Restore the configuration of all nodes after the test, and cut their power."""
    for node in NODES:
        sh(lab, node, "rm -rf /root/etc; mkdir /root/etc; cp -a /etc/libvirt /etc/ssh /root/etc")
    yield
    for node in NODES:
        sh(lab, node, "cp -a /root/etc/libvirt/*.conf /etc/libvirt; cp -a /root/etc/ssh/sshd_config /etc/ssh")
        sh(
            lab,
            node,
            f"chmod 755 /var/lib/libvirt; rm -f /etc/libvirt/qemu/*.xml; umount -q {IMAGES}; mkdir -p {IMAGES}",
        )
    lab.off(*NODES)


@pytest.mark.lab(on=["ham0", "ham1"])
def test_healthy_nodes_have_neither_faults_nor_warnings(lab: RealLab, doctor: Doctor) -> None:
    result = doctor()
    assert (result.status, result.bad("ham0"), result.bad("ham1")) == (0, {}, {}), result
    # Only the configuration of a node that is off is checked.
    assert list(result.checks["ham2"]) == ["configuration"]
    unchecked = {check: fact for check, (verdict, fact, _) in result.checks["ham0"].items() if verdict == "not checked"}
    assert unchecked.pop("start at boot") == "the node has no systemd"
    assert unchecked.pop("wake-on-lan") == unchecked.pop("wake-on-lan at boot") == "eth0 is a virtual NIC"
    assert unchecked.keys() <= {"kvm"}
    text = mclu(lab, "doctor")
    assert (text.status, text.err) == (0, "")
    assert [line for line in text.lines if line.startswith("ham")] == [
        "ham0 healthy",
        "ham1 healthy",
        "ham2 off",
        "ham3 off",
    ]
    named = mclu(lab, "doctor", "ham2")
    assert (named.status, named.err) == (1, "mclu: 1 fault on ham2\n")
    assert "  fault: power: is off; run 'on ham2'\n" in named.out


@pytest.mark.lab(on=NODES)
def test_each_kind_of_fault_is_found_with_its_remedy(lab: RealLab, doctor: Doctor, restored: None) -> None:
    _break_storage(lab)
    # sshd reads its configuration for each connection from its own memory: SIGHUP.
    sh(lab, "ham1", "echo 'AllowTcpForwarding no' >>/etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)")
    _break_programs(lab)
    _break_power(lab)
    result = doctor()
    assert result.status == 1
    assert result.bad("ham0") == {
        "network": "fault",
        "reach of images": "fault",
        "free space": "fault",
        "guest uuids": "fault",
        "host uuid": "fault",
        "unused disks": "warning",
        "missing disks": "warning",
        "interrupted boots": "warning",
    }
    facts = {
        ("ham0", "network"): ("'default' is not active", "virsh -c qemu:///system net-start default"),
        ("ham0", "reach of images"): ("(UID 64055) cannot enter /var/lib/libvirt", "chmod o+x /var/lib/libvirt"),
        ("ham0", "free space"): ("are free in", "delete files"),
        ("ham0", "guest uuids"): ("web has the UUID of ham3:web", "destroy ham0:web"),
        ("ham0", "host uuid"): ("ham3 has the same host UUID", "/etc/libvirt/libvirtd.conf"),
        ("ham0", "unused disks"): ("old.qcow2", f"rm -- {IMAGES}/old.qcow2"),
        ("ham0", "missing disks"): (f"web has lost its disk {IMAGES}/gone.qcow2", "destroy ham0:web"),
        ("ham0", "interrupted boots"): (".mclu-x.building, 0123456789abcdef-a.qcow2.part", "rm -f -- "),
        ("ham1", "forwarding"): ("sshd does not forward sockets", "AllowTcpForwarding yes"),
        ("ham2", "libvirt"): ("libvirtd not running", "systemctl start libvirtd.socket"),
        ("ham2", "start at boot"): ("libvirtd does not start at boot", "systemctl enable libvirtd.socket"),
        ("ham2", "clock"): ("s ahead of", "timedatectl set-ntp true"),
        ("ham2", "programs"): ("has no qemu-img", "apt install qemu-utils"),
        ("ham2", "template programs"): ("has no virt-builder", "apt install guestfs-tools"),
        ("ham3", "wake-on-lan"): ("not armed on enp3s0", "ethtool -s enp3s0 wol g"),
        ("ham3", "wake-on-lan at boot"): ("on enp3s0 at boot", "ethtool -s enp3s0 wol g"),
        ("ham3", "poweroff"): ("there is no poweroff", "install"),
        ("ham3", "images"): (f"{IMAGES} does not exist", f"install -d -m 711 {IMAGES}"),
        ("ham3", "network"): ("no network 'default'", "virsh net-define"),
    }
    for (node, check), (fact, remedy) in facts.items():
        _, found, cure = result.checks[node][check]
        assert fact in found, (node, check, found)
        assert remedy in cure, (node, check, cure)
    lab.rekey("ham1")
    changed = doctor("ham1")
    assert (changed.status, changed.bad("ham1")) == (1, {"login": "fault"})
    assert list(changed.checks) == ["ham1"]


def _break_storage(lab: RealLab) -> None:
    sh(lab, "ham0", "virsh -q net-destroy default")
    define(lab, "ham0", f"<disk type='file'><source file='{IMAGES}/gone.qcow2'/><target dev='vda'/></disk>")
    sh(lab, "ham0", 'sed -i \'s/"root"/"libvirt-qemu"/\' /etc/libvirt/qemu.conf')
    sh(lab, "ham0", f"{_RESTART}; virsh -q net-destroy default 2>/dev/null; chmod 700 /var/lib/libvirt")
    files = "old.qcow2 .mclu-x.building .mclu-cache/a.qcow2.lock .mclu-cache/0123456789abcdef-a.qcow2.part"
    sh(lab, "ham0", f"{_FULL}; cd {IMAGES}; mkdir .mclu-cache; touch -d yesterday {files}")
    # A live claim, an ISO image, and names that look like others, are no leftovers.
    sh(lab, "ham0", f"cd {IMAGES}; touch a.iso \"$(printf 'x\\nold.qcow2')\"")


def _break_programs(lab: RealLab) -> None:
    sh(lab, "ham2", "mkdir -p /run/systemd/system; rm /usr/local/bin/virt-builder")
    for program, text in (("systemctl", _SYSTEMCTL), ("date", _DATE)):
        write_file(lab, "ham2", f"/usr/local/bin/{program}", text)
    sh(lab, "ham2", f"{_HIDE.format('qemu-img')}; mount --bind /usr/local/bin/date /usr/bin/date")
    sh(lab, "ham2", f"mount --bind /usr/local/bin/systemctl /usr/local/sbin/systemctl; {_STOP}")


def _break_power(lab: RealLab) -> None:
    mac = sh(lab, "ham3", "cat /sys/class/net/eth0/address").strip()
    sh(lab, "ham3", f"rmdir {IMAGES}; virsh -q net-destroy default; virsh -q net-undefine default")
    define(lab, "ham3", "")
    uuid = sh(lab, "ham0", "virsh capabilities | sed -n 's/.*<uuid>\\(.*\\)<.*/\\1/p' | head -n 1").strip()
    sh(lab, "ham3", f"sed -i 's/^host_uuid.*/host_uuid = \"{uuid}\"/' /etc/libvirt/libvirtd.conf; {_RESTART}")
    sh(lab, "ham3", f"rm /usr/local/bin/ethtool; {_CARDS.format(mac=mac)}")
    write_file(lab, "ham3", "/usr/local/bin/ethtool", _ETHTOOL)
    sh(
        lab,
        "ham3",
        "mount -t tmpfs tmpfs /usr/local/sbin; command -v poweroff >/dev/null || exit 0; " + _HIDE.format("poweroff"),
    )


def define(lab: RealLab, node: str, disk: str) -> None:
    """Define a guest `web` with the same UUID on each node."""
    path = describe_guest(lab, node, "web")
    uuid = "<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>"
    sh(lab, node, f'sed -i "s|</name>|</name>{uuid}|; s|</domain>|<devices>{disk}</devices></domain>|" {path}')
    virsh(lab, node, "define", path)


@pytest.mark.lab(on=["ham0"])
def test_harmless_repairs_are_made_after_a_question_each(lab: RealLab, doctor: Doctor) -> None:
    sh(lab, "ham0", f"virsh -q net-destroy default; rmdir {IMAGES}")
    refused = mclu(lab, "doctor", "ham0", "--fix")
    assert (refused.status, refused.err) == (
        1, "mclu: repairs require confirmation; add --yes, or leave out --fix\n"
    )  # fmt: skip
    dry = mclu(lab, "-n", "doctor", "ham0", "--fix", "--yes", "--boot")
    assert f"would run on ham0, as root: install -d -m 711 {IMAGES}" in dry.lines
    assert "would boot a guest on ham0, and destroy it" in dry.lines
    assert set(doctor("ham0").bad("ham0")) == {"network", "images"}
    with terminal_command(lab, "mclu", "doctor", "ham0", "--fix") as command:
        command.expect("Run this on ham0, as root? [y/N] ")
        command.type("n\r")
        command.expect("Run this on ham0, as root? [y/N] ")
        command.type("y\r")
        command.expect("ham0 1 fault")
        assert command.end() == 1
    assert set(doctor("ham0").bad("ham0")) == {"network"}
    fixed = mclu(lab, "doctor", "ham0", "--fix", "--yes")
    assert (fixed.status, fixed.err) == (0, ""), fixed
    assert fixed.lines[0] == "ham0: ran virsh -c qemu:///system net-start default"
    assert fixed.lines[1] == "ham0 healthy"


@pytest.mark.lab(on=["ham0"])
def test_a_trial_boots_a_guest_and_destroys_it(lab: RealLab, doctor: Doctor) -> None:
    before = sh(lab, "ham0", f"ls -A {IMAGES}")
    result = doctor("ham0", "--boot")
    assert (result.status, result.bad("ham0")) == (0, {}), result
    assert result.checks["ham0"]["boot"][1].startswith("a guest booted to its login prompt in ")
    assert (states(lab, "ham0"), sh(lab, "ham0", f"ls -A {IMAGES}")) == ({}, before)
