"""A file of a key whose private half is in a FIDO token that is not there (OpenSSH's PROTOCOL.u2f and PROTOCOL.key).

Usage: security_key.py FILE; it also writes FILE.pub.
"""

import base64
import struct
import sys
from pathlib import Path

_KIND = "sk-ssh-ed25519@openssh.com"


def main() -> None:
    """Write the private and the public file."""
    file, point, application = Path(sys.argv[1]), bytes(range(32)), b"ssh:"
    public = _string(_KIND.encode()) + _string(point) + _string(application)
    private = public + b"\1" + _string(b"handle") + _string(b"") + _string(b"token")
    section = b"test" * 2 + private
    section += bytes(range(1, 9))[: -len(section) % 8]
    data = b"openssh-key-v1\0" + _string(b"none") * 2 + _string(b"") + struct.pack(">I", 1)
    text = base64.encodebytes(data + _string(public) + _string(section)).decode()
    file.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n")
    file.chmod(0o600)
    file.with_name(file.name + ".pub").write_text(f"{_KIND} {base64.b64encode(public).decode()} token\n")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


if __name__ == "__main__":
    main()
