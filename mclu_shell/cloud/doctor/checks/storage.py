"""Checks of the directory of images: it exists, QEMU and the login can use it, and it has free space."""

import shlex

from mclu_shell.cloud.doctor.facts import Directory, Images
from mclu_shell.cloud.doctor.finding import Finding, and_then, fault, fault_for_root, ok, repairable, unchecked
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.units import format_size

# Less than a cloud image needs; less than an installed guest.
_LEAST_BYTES, _SCARCE_BYTES = 1 << 30, 5 << 30
_LEAST_INODES = 100


def check_images(subject: Subject) -> Finding:
    """Check that the directory exists and that the login can write to it."""
    facts, directory = subject.facts, subject.node.images
    if facts is None:
        return unchecked("the node cannot be examined")
    if not facts.images.exists:
        # As libvirt's packages create it.
        return repairable(f"{directory} does not exist", shlex.join(["install", "-d", "-m", "711", directory]))
    if not facts.images.has_answered:
        return fault(f"{directory} does not answer", "check the server of its file system")
    if not facts.images.is_writable:
        command = and_then(
            ["usermod", "-aG", "libvirt", facts.user], ["chgrp", "libvirt", directory], ["chmod", "2771", directory]
        )
        if facts.uid == 0:
            # Only a read-only file system stops root.
            command = shlex.join(["mount", "-o", "remount,rw", "--target", directory])
        return fault_for_root(f"{facts.user} cannot write to {directory}", command)
    return ok(f"{directory} exists and is writable")


def check_reach(subject: Subject) -> Finding:
    """Check that QEMU's user can reach the directory."""
    if (missing := _missing(subject)) is not None:
        return missing
    assert subject.facts is not None
    host, images = subject.own.host, subject.facts.images
    if host is None or host.owner is None:
        return unchecked("QEMU's user is unknown")
    closed = [directory for directory in images.parents if not _is_open(directory, *host.owner)]
    if images.can_reach or (images.can_reach is None and not closed):
        return ok("QEMU's user can reach it")
    certain = [directory.path for directory in closed if _is_closed(directory)]
    if images.can_reach is None and not certain:
        return unchecked("only root can test whether QEMU's user can reach it")
    paths = certain or [directory.path for directory in closed] or [subject.node.images]
    fact = f"QEMU's user (UID {host.owner[0]}) cannot enter {' and '.join(paths)}"
    return fault_for_root(fact, shlex.join(["chmod", "o+x", *paths]))


def _is_open(directory: Directory, uid: int, gid: int) -> bool:
    """Return whether a user may enter a directory by its mode; ACLs and more groups may allow more."""
    if uid == 0:
        return True
    shift = 6 if directory.uid == uid else 3 if directory.gid == gid else 0
    return bool(directory.mode >> shift & 1)


def _is_closed(directory: Directory) -> bool:
    return not directory.has_acl and not directory.mode & 0o011


def check_space(subject: Subject) -> Finding:
    """Check that there is space for another guest."""
    if (missing := _missing(subject)) is not None:
        return missing
    assert subject.facts is not None
    images, directory = subject.facts.images, subject.node.images
    if images.free_blocks is None:
        return unchecked("the free space is unknown")
    free_bytes = images.free_blocks * images.block_bytes
    fact = f"{format_size(free_bytes)} are free in {directory}"
    if free_bytes < _SCARCE_BYTES:
        return fault(fact, "delete files there, or destroy guests", is_warning=free_bytes >= _LEAST_BYTES)
    if _lacks_inodes(images):
        return fault(f"{directory} has room for only {images.free_inodes} files", "delete files there")
    return ok(fact)


def _lacks_inodes(images: Images) -> bool:
    # Btrfs and others have no limit, and report 0 of 0.
    return images.inodes > 0 and images.free_inodes < _LEAST_INODES


def _missing(subject: Subject) -> Finding | None:
    if subject.facts is None:
        return unchecked("the node cannot be examined")
    images = subject.facts.images
    return None if images.exists and images.has_answered else unchecked(f"{subject.node.images} is not there")
