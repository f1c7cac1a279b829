"""Templates shipped with mclu, on real nodes: their guests start, accept a login and shut down."""

import os
import re

import pexpect
import pytest

from tests.lab.support.cli import mclu, virsh, wait_until
from tests.lab.support.lab import REPOSITORY, Completed, RealLab, environment

IMAGES = "/var/lib/libvirt/images"
# Runs the template on standard input as mclu does: in an empty directory, with no input.
BUILD = 'd=$(mktemp -d) && cat >"$d/x" && chmod +x "$d/x" && mkdir "$d/work" && cd "$d/work" && "$d/x" build </dev/null'


def boot(lab: RealLab, *words: str, **environment: str) -> Completed:
    """Boot a guest from a shipped template."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    return lab.run("env", "-u", "MCLU_PATH", *settings, "mclu", "boot", *words)


def build(lab: RealLab, template: str, prepare: str, *, timeout: float = 60, **more: str) -> Completed:
    """Build on ham0 as mclu does, after a script that prepares the mount namespace of this build."""
    settings = {"name": "web", "format": "qcow2", "output": f"{IMAGES}/web.qcow2", **more, "SCRIPT": prepare + BUILD}
    text = (REPOSITORY / f"templates/{template}.template").read_text()
    words = ["env", *(f"{name}={value}" for name, value in settings.items())]
    words += ["unshare", "--mount", "sh", "-c", 'eval "$SCRIPT"']
    return lab.run(*words, node="ham0", input=text, timeout=timeout)


def images(lab: RealLab) -> list[str]:
    """Return the file names in ham0's directory of images."""
    return lab.run("ls", "-A", IMAGES, node="ham0").stdout.split()


class Console:
    """The serial console of a guest on ham0, with a login."""

    def __init__(self, lab: RealLab, guest: str) -> None:
        words = lab.command("mclu", "console", f"ham0:{guest}")
        self.program = pexpect.spawn(words[0], words[1:], env=environment(), encoding="utf-8", timeout=60)
        self.program.delaybeforesend = None

    def log_in(self, name: str) -> None:
        """Wait for the prompt of a host of this name, and log in as root."""
        self.program.expect_exact(f"{name} login: ")
        self.program.send("root\r")
        self.program.expect_exact("~ # ")

    def run(self, command: str) -> str:
        """Run a command in the guest, and return its output."""
        self.program.send(f"echo '<''<'; {command}; echo '>''>'\r")
        self.program.expect(re.compile(r"<<\r\n(.*?)>>\r\n", re.DOTALL))
        assert isinstance(self.program.match, re.Match)
        return str(self.program.match[1]).replace("\r", "")

    def until_it_ends(self) -> None:
        """Wait for the end of the guest."""
        self.program.expect(pexpect.EOF)


# tiny


def test_tiny_starts_accepts_a_login_reboots_and_shuts_down(lab: RealLab) -> None:
    booted = boot(lab, "tiny", "ham0:web", "--size", "1G", "--timezone", "Asia/Kolkata")
    assert (booted.returncode, booted.stdout) == (0, "ham0:web running\n"), booted.stderr
    assert images(lab) == ["web.qcow2", "web.qcow2.initrd", "web.qcow2.kernel"]
    console = Console(lab, "web")
    # Enter prints another prompt, in case the first came before the console was opened.
    console.program.expect_exact("leaves.")
    console.program.send("\r")
    console.log_in("web")
    assert console.run("hostname; id -un; date +%z") == "web\nroot\n+0530\n"
    assert console.run("cat /sys/block/vda/size") == f"{(1 << 30) // 512}\n"
    assert mclu(lab, "reboot", "web").status == 0
    console.log_in("web")
    assert mclu(lab, "shutdown", "web").status == 0
    console.until_it_ends()
    wait_until(lambda: "web" not in virsh(lab, "ham0", "list", "--name").split())


def test_tiny_gets_its_address_by_dhcp(lab: RealLab) -> None:
    assert boot(lab, "tiny", "ham0:web").returncode == 0
    console = Console(lab, "web")
    console.program.expect_exact("leaves.")
    console.program.send("\r")
    console.log_in("web")
    wait = "until ip route | grep -q default; do usleep 100000; done"
    assert console.run(f"{wait}; ip -4 address show dev eth0 | grep -c inet; cat /sys/class/net/eth0/address") == (
        "1\n" + re.findall("mac address='(.*?)'", virsh(lab, "ham0", "dumpxml", "web"))[0] + "\n"
    )


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ("/boot", "tiny: no readable /boot/vmlinuz-* with modules in /lib/modules\n"),
        ("/lib/modules", "tiny: no readable /boot/vmlinuz-* with modules in /lib/modules\n"),
        ("/usr/sbin", "tiny: modinfo is not installed on this node\n"),
    ],
)
def test_tiny_reports_files_that_the_node_lacks(lab: RealLab, hidden: str, message: str) -> None:
    completed = build(lab, "tiny", f"mount -t tmpfs none {hidden}\n")
    assert (completed.returncode, completed.stderr) == (1, message)
    assert images(lab) == []


# Cloud images


@pytest.fixture
def mirror(lab: RealLab) -> str:
    """The URL of a mirror on ham0 with an empty image."""
    make = (
        "rm -rf /root/mirror && mkdir /root/mirror && cd /root/mirror &&"
        f" qemu-img create -q -f qcow2 debian-13-generic-{os.uname().machine.replace('x86_64', 'amd64')}.qcow2 1G &&"
        " sha512sum * >SHA512SUMS"
    )
    assert lab.run("sh", "-c", make, node="ham0").returncode == 0
    return "file:///root/mirror"


def test_a_cloud_image_becomes_a_guest_with_a_seed(lab: RealLab, mirror: str) -> None:
    booted = boot(lab, "debian-cloud", "ham0:web", MCLU_MIRROR=mirror)
    assert (booted.returncode, booted.stdout) == (0, "ham0:web running\n"), booted.stderr
    assert images(lab) == [".mclu-cache", "web.qcow2", "web.qcow2.seed"]
    disks = [line.split() for line in virsh(lab, "ham0", "domblklist", "--details", "web").splitlines() if line]
    assert [(disk[1], disk[3]) for disk in disks] == [
        ("disk", f"{IMAGES}/web.qcow2"),
        ("disk", f"{IMAGES}/web.qcow2.seed"),
    ]
    key = (lab.path / "home/.ssh/id_ed25519.pub").read_text().strip()
    seed = lab.run("isoinfo", "-J", "-i", f"{IMAGES}/web.qcow2.seed", "-x", "/user-data", node="ham0").stdout
    assert key in seed
    # The cached image serves later guests, too.
    assert mclu(lab, "destroy", "--yes", "web").status == 0
    assert images(lab) == [".mclu-cache"]
    assert lab.run("rm", "-r", "/root/mirror/debian-13-generic-amd64.qcow2", node="ham0").returncode == 0
    assert boot(lab, "debian-cloud", "ham0:web", MCLU_MIRROR=mirror).returncode == 0


def test_a_cloud_image_with_a_wrong_checksum_makes_no_guest(lab: RealLab, mirror: str) -> None:
    lab.run("sh", "-c", "sed -i 's/^...../00000/' /root/mirror/SHA512SUMS", node="ham0")
    booted = boot(lab, "debian-cloud", "ham0:web", MCLU_MIRROR=mirror)
    assert booted.returncode == 1
    assert "has a wrong checksum, compared with SHA512SUMS" in booted.stderr
    assert virsh(lab, "ham0", "list", "--all", "--name").split() == []
    assert images(lab) == [".mclu-cache"]
    assert lab.run("find", f"{IMAGES}/.mclu-cache", "-size", "+0", "-type", "f", node="ham0").stdout == ""


@pytest.mark.parametrize("name", ["123", "yes", "1.5", "no", "null", "1e5", "0x1F", "web"])
def test_cloud_init_reads_any_name_as_text(lab: RealLab, mirror: str, name: str) -> None:
    assert boot(lab, "debian-cloud", f"ham0:{name}", MCLU_MIRROR=mirror).returncode == 0
    words = ("isoinfo", "-J", "-i", f"{IMAGES}/{name}.qcow2.seed", "-x", "/meta-data")
    assert f"\nlocal-hostname: '{name}'\n" in lab.run(*words, node="ham0").stdout


def test_a_size_below_that_of_the_cloud_image_is_refused(lab: RealLab, mirror: str) -> None:
    make = (
        "cd /root/mirror && for image in debian-*; do qemu-img resize -q $image 12G; done &&"
        " sha512sum debian-* >SHA512SUMS"
    )
    assert lab.run("sh", "-c", make, node="ham0").returncode == 0
    booted = boot(lab, "debian-cloud", "ham0:web", "--size", "11G", MCLU_MIRROR=mirror)
    assert booted.returncode == 1
    assert "debian-cloud: a disk of 11811160064 bytes is too small: the image needs --size 12288M" in booted.stderr
    assert images(lab) == [".mclu-cache"]
    # Without --size, the disk is as large as the image if that has more than 10G.
    assert boot(lab, "debian-cloud", "ham0:web", MCLU_MIRROR=mirror).returncode == 0
    assert "(12884901888 bytes)" in lab.run("qemu-img", "info", "-U", f"{IMAGES}/web.qcow2", node="ham0").stdout


# virt-builder

# Makes a repository of small images that look like Debian and Fedora, with the names in the templates. It also sets
# the kernel for virt-builder's own virtual machine, because the kernel of a lab has no list of its modules.
PREPARE = r"""
set -eu
repository=$(mktemp -d) version=$(ls /lib/modules)
cd "$repository"
mkdir -p /tmp/repo.$$/conf
image() {
    rm -rf system
    mkdir -p system
    cd system
    mkdir -p dev etc proc root/.ssh sys tmp usr/bin usr/lib/systemd/system usr/share/zoneinfo/Europe var/log
    ln -s usr/bin bin
    cp /usr/bin/busybox usr/bin/sh
    # This dnf only records its arguments, because there is no network.
    printf '#!/bin/sh\necho "$*" >>/var/log/dnf\n' >usr/bin/dnf
    chmod +x usr/bin/dnf
    touch usr/share/zoneinfo/Europe/London
    printf 'ID=%s\nVERSION_ID="%s"\n' "${1%-*}" "${1##*-}" >etc/os-release
    case $1 in
        fedora*) echo "Fedora release ${1##*-} (x)" >etc/fedora-release ;;
        *) echo "${1##*-}.0" >etc/debian_version ;;
    esac
    echo old >etc/hostname
    echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
    echo 'root:*:19000:0:99999:7:::' >etc/shadow
    echo '/dev/sda / ext4 defaults 0 1' >etc/fstab
    cd ..
    mke2fs -q -t ext4 -d system "/tmp/repo.$$/$1" 32M
    sum=$(sha512sum <"/tmp/repo.$$/$1" | cut -d' ' -f1)
    printf '[%s]\nname=x\narch=%s\nfile=%s\nformat=raw\nsize=%s\nchecksum[sha512]=%s\n\n' \
        "$1" "$(uname -m)" "$1" $((32 << 20)) "$sum" >>"/tmp/repo.$$/index"
}
image "$base_image"
printf '[local]\nuri=file://%s/index\n' "/tmp/repo.$$" >"/tmp/repo.$$/conf/local.conf"
mount --bind "/tmp/repo.$$/conf" /etc/virt-builder/repos.d
mkdir -p kernel/lib/modules
cp -r "/lib/modules/$version" kernel/lib/modules/
depmod -b kernel "$version"
export SUPERMIN_KERNEL="/boot/vmlinuz-$version" SUPERMIN_MODULES="$PWD/kernel/lib/modules/$version"
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg XDG_CACHE_HOME="$PWD"
"""
BUILT = {"debian": "debian-12", "fedora": "fedora-42", "rawhide": "fedora-42", "ubuntu": "ubuntu-22.04"}


@pytest.mark.slow
@pytest.mark.parametrize("template", BUILT)
def test_virt_builder_templates_set_name_keys_password_and_time_zone(lab: RealLab, template: str) -> None:
    if lab.run("sh", "-c", "command -v virt-builder", node="ham0").returncode != 0:
        pytest.skip("there is no virt-builder: install guestfs-tools")
    keys = {"timezone": "Europe/London", "authorized_keys": "ssh-ed25519 AAAA me\nssh-rsa B"}
    completed = build(lab, template, PREPARE, timeout=400, base_image=BUILT[template], **keys)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert images(lab) == ["web.qcow2"]
    noted = re.fullmatch(
        "note: log in on the console as root, with the password (.*)", completed.stdout.splitlines()[-1]
    )
    built = _read_built_disk(lab)
    assert built.startswith("web\nssh-ed25519 AAAA me\nssh-rsa B\n")
    assert "/usr/share/zoneinfo/Europe/London" in built
    crypted = re.search(r"^root:([^*:][^:]*):", built, re.MULTILINE)
    assert noted
    assert crypted
    check = ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", noted[1], crypted[1]]
    assert lab.run(*check).stdout == crypted[1]
    # The image has no packages, so this checks only the dnf commands that turn Fedora into Rawhide.
    commands = re.findall(r"^-y .*$", built, re.MULTILINE)
    assert [line.split()[-1] for line in commands] == (
        ["fedora-gpg-keys", "fedora-repos-rawhide", "distro-sync"] if template == "rawhide" else []
    )


def _read_built_disk(lab: RealLab) -> str:
    """Return the host name, keys, passwords, dnf commands and time zone on the disk that was built."""
    look = (
        f"qemu-img convert -O raw {IMAGES}/web.qcow2 /tmp/raw &&"
        " for file in etc/hostname root/.ssh/authorized_keys etc/shadow var/log/dnf; do"
        ' debugfs -R "cat /$file" /tmp/raw 2>/dev/null; done; debugfs -R "stat /etc/localtime" /tmp/raw; rm /tmp/raw'
    )
    return lab.run("sh", "-c", look, node="ham0").stdout
