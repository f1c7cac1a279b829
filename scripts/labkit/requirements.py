"""Requirements of a lab, with reason and remedy if one is missing."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from labkit import launch, state_dir
from labkit.errors import LabError

COMMANDS = (
    *("busybox", "env", "ip", "libvirtd", "mount", "nft", "nsenter", "qemu-img", f"qemu-system-{os.uname().machine}"),
    *("setpriv", "setsid", "ssh", "ssh-keygen", "sshd", "unshare", "virsh"),
)
# The settings by which distributions forbid user namespaces: name, value that forbids, value that allows.
SWITCHES = (
    ("syscalls.unprivileged_userns_clone", "0", "1"),
    ("syscalls.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
)


def check() -> None:
    """Raise LabError, with reason and remedy, if a lab cannot run here."""
    state_dir.base_directory()
    _check_commands()
    if os.geteuid() != 0:
        _check_user()
    _check_namespaces()


def _check_commands() -> None:
    unpacked = [str(launch.SOFTWARE / "usr" / directory) for directory in ("bin", "sbin")]
    path = ":".join([launch.environment()["PATH"], *unpacked])
    missing = [command for command in COMMANDS if not shutil.which(command, path=path)]
    if missing:
        raise LabError(f"programs not found: {', '.join(missing)}; run scripts/setup")


def _check_user() -> None:
    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        raise LabError("newuidmap or newgidmap not found; install the package uidmap, or run as root")
    user = pwd.getpwuid(os.getuid()).pw_name
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text().splitlines() if file.exists() else []
        if not any(line.split(":")[0] in (user, str(os.getuid())) for line in lines):
            option = f"--add-{file.name}s 100000-165535"
            raise LabError(
                f"{user} has no range in {file}; as root, run `usermod {option} {user}`, or run this as root"
            )


def _check_namespaces() -> None:
    """Make the namespaces and an overlay mount, which not every kernel allows."""
    lower = f"{launch.SOFTWARE / 'usr'}:/usr" if (launch.SOFTWARE / "usr").is_dir() else "/usr:/etc"
    attempt = ["mount", "-t", "overlay", "-o", f"lowerdir={lower}", "overlay", "/usr"]
    command = ["unshare", *launch.user_namespace(), *launch.NAMESPACES, *attempt]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=launch.environment())
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or "no namespaces"
        raise LabError(f"{reason}; {_remedy()}")


def _remedy() -> str:
    if os.geteuid() == 0:
        return "a lab needs root with CAP_SYS_ADMIN (in a container: --privileged)"
    for setting, forbids, allows in SWITCHES:
        file = Path("/proc/sys") / setting.replace(".", "/")
        if file.exists() and file.read_text().strip() == forbids:
            return f"user namespaces are forbidden: as root, run `sysctl {setting}={allows}`, or run this as root"
    return "a lab needs user namespaces with overlay mounts (Linux 5.11), or root"
