"""Whether a lab can be run here, and if not, why and what to do."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from labkit import launch, place
from labkit.errors import LabError

COMMANDS = (
    *("busybox", "env", "ip", "libvirtd", "mount", "nft", "nsenter", "qemu-img", f"qemu-system-{os.uname().machine}"),
    *("setpriv", "setsid", "ssh", "ssh-keygen", "sshd", "unshare", "virsh"),
)
# Where Linux distributions forbid user namespaces: the setting, the value that forbids, and the one that allows.
SWITCHES = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
)


def check() -> None:
    """Raise with the reason and the remedy if no lab can be run here."""
    place.base_directory()
    _check_commands()
    if os.geteuid() != 0:
        _check_user()
    _check_namespaces()


def _check_commands() -> None:
    unpacked = [str(launch.SOFTWARE / "usr" / directory) for directory in ("bin", "sbin")]
    path = ":".join([launch.environment()["PATH"], *unpacked])
    missing = [command for command in COMMANDS if not shutil.which(command, path=path)]
    if missing:
        raise LabError(f"not found: {', '.join(missing)}; scripts/setup installs what a lab needs")


def _check_user() -> None:
    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        raise LabError("without root, a lab needs newuidmap and newgidmap: install the package uidmap, or be root")
    user = pwd.getpwuid(os.getuid()).pw_name
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text().splitlines() if file.exists() else []
        if not any(line.split(":")[0] in (user, str(os.getuid())) for line in lines):
            option = f"--add-{file.name}s 100000-165535"
            raise LabError(f"{user} has no range in {file}: as root, run `usermod {option} {user}`, or be root")


def _check_namespaces() -> None:
    """Try it: make the namespaces, and the one kind of mount that not every kernel has."""
    lower = f"{launch.SOFTWARE / 'usr'}:/usr" if (launch.SOFTWARE / "usr").is_dir() else "/usr:/etc"
    attempt = ["mount", "-t", "overlay", "-o", f"lowerdir={lower}", "overlay", "/usr"]
    command = ["unshare", *launch.user_namespace(), *launch.NAMESPACES, *attempt]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=launch.environment())
    if done.returncode != 0:
        what = " ".join(done.stderr.split()) or "no namespaces"
        raise LabError(f"{what}; {_remedy()}")


def _remedy() -> str:
    if os.geteuid() == 0:
        return "a lab needs root with CAP_SYS_ADMIN (in a container: --privileged)"
    for setting, forbids, allows in SWITCHES:
        file = Path("/proc/sys") / setting.replace(".", "/")
        if file.exists() and file.read_text().strip() == forbids:
            return f"user namespaces are forbidden here: as root, run `sysctl {setting}={allows}`, or be root"
    return "a lab needs user namespaces with overlay mounts (Linux 5.11), or root"
