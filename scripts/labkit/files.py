"""The files of a lab: /etc, homes and disks of the operator and the nodes."""

import socket
import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path

from labkit.node import Node
from labkit.state_dir import Lab

# Without PAM, sshd rejects keys for an account whose password field starts with "!", as root's often does.
SHADOW = "root:*:19000:0:99999:7:::\n"
SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 1000
MaxSessions 1000
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""
# In a node everything belongs to root, and there are no cgroups.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
POWER_COMMANDS = ("halt", "poweroff", "reboot", "shutdown", "systemctl")
POWER_SCRIPT = """\
#!/bin/sh
# Switch this node of a lab off, or reboot it, in the background as systemd does: end the SSH sessions,
# take the link down and call reboot(2), which ends all processes of the node.
how=poweroff
case ${0##*/} in
    reboot) how=reboot ;;
    shutdown)
        for word; do
            case $word in -r | --reboot) how=reboot ;; -c) exit 0 ;; esac
        done ;;
    systemctl)
        for word; do case $word in -*) ;; *) break ;; esac; done
        case $word in
            poweroff | halt) ;;
            reboot) how=reboot ;;
            *) echo "systemctl: ${word:-no command}: the nodes of a lab have no systemd" >&2; exit 1 ;;
        esac ;;
esac
export how
setsid sh -c '
    sessions() { read -r pid </run/sshd.pid && cat "/proc/$pid/task/$pid/children"; }
    turn=0
    while [ $turn -lt 20 ] && [ -n "$(sessions)" ]; do
        # First let the session of this command return its exit status.
        [ $turn -eq 10 ] && kill $(sessions)
        turn=$((turn + 1))
        sleep 0.02
    done
    ip link set eth0 down
    exec busybox $how -nf
' </dev/null >/dev/null 2>&1 &
"""


# The users and groups that sshd and libvirtd need. The host may not have them.
USERS = (
    "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin",
    "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin",
)
GROUPS = ("kvm:x:64054:", "libvirt-qemu:x:64055:")


def passwd(home: Path | str) -> str:
    """Return the host's /etc/passwd with another home directory for root."""
    lines = Path("/etc/passwd").read_text().splitlines()
    others = [line for line in lines if not line.startswith("root:")]
    return _completed([f"root:x:0:0:root:{home}:/bin/bash", *others], USERS)


def _completed(lines: list[str], required: Iterable[str]) -> str:
    """Return lines, and the required lines whose name is missing in them."""
    names = {line.split(":")[0] for line in lines}
    return "\n".join([*lines, *(line for line in required if line.split(":")[0] not in names), ""])


def hosts(nodes: Iterable[Node]) -> str:
    """Return /etc/hosts."""
    fixed = f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {socket.gethostname()}\n"
    return fixed + "".join(f"{node.address} {node.name}\n" for node in nodes)


def mclu_conf(nodes: Iterable[Node], broadcast: str, *, has_kvm: bool) -> str:
    """Return an mclu.conf. Magic packets need the broadcast address of the LAN, because there is no default route.

    Without KVM, `accel` prevents a warning at each boot.
    """
    lines = "".join(f"{node.name} mac={node.mac}\n" for node in nodes)
    accel = "" if has_kvm else "accel=tcg\n"
    return f"[global]\nbroadcast={broadcast}\n{accel}[nodes]\n{lines}"


def make_keys(paths: Iterable[Path]) -> None:
    """Make SSH key pairs; overwrite existing ones."""
    running = []
    for path in paths:
        path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)]
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        if len(running) == 8:
            running.pop(0).wait()
    for process in running:
        process.wait()


def known_host(node: Node) -> str:
    """Return the node's line in known_hosts."""
    kind, key = node.host_key.with_suffix(".pub").read_text().split()[:2]
    return f"{node.name},{node.address} {kind} {key}\n"


def write_operator(lab: Lab, nodes: list[Node]) -> None:
    """Write the operator's home directory and keys."""
    ssh = lab.home / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    lab.run.mkdir(mode=0o700)
    make_keys([ssh / "id_ed25519", *(node.host_key for node in nodes)])
    (ssh / "config").write_text("# The operator of this lab is root, on the nodes too.\nHashKnownHosts no\n")
    (lab.home / ".bashrc").write_text(f"PS1='{lab.name}:\\w\\$ '\n")
    lab.known_hosts.write_text("".join(map(known_host, nodes)))


def write_shared(lab: Lab, nodes: list[Node]) -> None:
    """Write the files that all nodes share, into NODES/shared."""
    shared = lab.nodes / "shared"
    commands = shared / "commands"
    commands.mkdir(parents=True, exist_ok=True)
    for name in POWER_COMMANDS:
        (commands / name).write_text(POWER_SCRIPT)
        (commands / name).chmod(0o755)
    (shared / "passwd").write_text(passwd("/root"))
    etc = shared / "above/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(passwd(lab.home))
    (etc / "group").write_text(_completed(Path("/etc/group").read_text().splitlines(), GROUPS))
    (etc / "shadow").write_text(SHADOW)
    (etc / "hosts").write_text(hosts(nodes))


DISK = ("run", "tmp", "root/.ssh", "log/libvirt", "lib-libvirt/images", "cache-libvirt", "etc-libvirt", "etc-ssh")


def make_disk(node: Node) -> None:
    """Make a node's own directories."""
    for name in DISK:
        (node.directory / name).mkdir(parents=True)
    (node.directory / "root/.ssh").chmod(0o700)
    (node.directory / "root").chmod(0o700)
    (node.directory / "root/.bashrc").write_text("PS1='\\h:\\w# '\n")
    (node.directory / "hostname").write_text(node.name + "\n")
    (node.directory / "etc-ssh/sshd_config").write_text(SSHD_CONFIG)
    (node.directory / "etc-libvirt/qemu.conf").write_text(QEMU_CONF)
    # libvirt refuses to migrate a guest between hosts of one UUID, and reads it from the BIOS by default.
    host_uuid = uuid.uuid5(uuid.NAMESPACE_OID, node.mac)
    (node.directory / "etc-libvirt/libvirtd.conf").write_text(f'auth_unix_rw = "none"\nhost_uuid = "{host_uuid}"\n')


def let_in(node: Node, public_key: str) -> None:
    """Allow the operator to log in to a node."""
    (node.directory / "root/.ssh/authorized_keys").write_text(public_key)
