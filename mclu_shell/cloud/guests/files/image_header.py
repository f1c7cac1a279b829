"""The backing file of an image that qemu-img cannot open (QEMU's docs/interop/qcow2.txt and qed_spec.txt)."""

import struct

# Dirty, corrupt, compression type, extended L2 entries. An external data file is named elsewhere.
_QCOW2_FEATURES = 0b11011
_QED_BACKING, _QED_FEATURES = 0b1, 0b111
# QEMU refuses longer names (PATH_MAX in qcow2.c and qed.c).
_LONGEST_NAME = 1023


def read_backing_name(head: bytes, length: int) -> str | None:
    """Return the name of an image's backing file, empty if it has none; None if that cannot be determined.

    `head` are the first bytes of the file, of which it has `length`. A name outside the file does not exist.
    """
    if head.startswith(b"QFI\xfb"):
        return _read_qcow2(head, length)
    return _read_qed(head, length) if head.startswith(b"QED\0") else None


def _read_qcow2(head: bytes, length: int) -> str | None:
    if len(head) < 20:
        return ""
    version, offset, size = struct.unpack_from(">IQI", head, 4)
    if not _can_be_name(offset, size, length):
        return ""
    has_features = version >= 3 and len(head) >= 80
    features = struct.unpack_from(">Q", head, 72)[0] if has_features else 0
    return None if version > 3 or features & ~_QCOW2_FEATURES else _name(head, offset, size)


def _read_qed(head: bytes, length: int) -> str | None:
    if len(head) < 64:
        return ""
    (features,) = struct.unpack_from("<Q", head, 16)
    offset, size = struct.unpack_from("<II", head, 56)
    if not _can_be_name(offset, size, length) or (features & ~_QED_FEATURES == 0 and not features & _QED_BACKING):
        return ""
    return None if features & ~_QED_FEATURES else _name(head, offset, size)


def _can_be_name(offset: int, size: int, length: int) -> bool:
    return size <= _LONGEST_NAME and offset + size <= length


def _name(head: bytes, offset: int, size: int) -> str | None:
    if offset == 0:
        return ""
    return head[offset : offset + size].decode(errors="replace") if offset + size <= len(head) else None
