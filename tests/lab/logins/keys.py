"""The keys of all set-ups, made once, in a directory that the operator and the node share."""

from tests.lab.support.lab import RealLab

_MAKE = r"""
set -e
umask 077
mkdir -p "$1"
cp "$2/home/.ssh/id_ed25519" "$2/home/.ssh/id_ed25519.pub" "$1"
cd "$1"
make() { ssh-keygen -q -N '' -C "$@" & }
make host -t ed25519 -f host_ed25519
make host -t ecdsa -f host_ecdsa
make host -t rsa -b 2048 -f host_rsa
make host -t rsa -b 1024 -f host_short
make ca -t ed25519 -f ca
make user -t ed25519 -f other
for n in 1 2 3 4 5 6; do make "many$n" -t ed25519 -f "many$n"; done
make user -t rsa -b 2048 -f rsa
for bits in 256 384 521; do make user -t ecdsa -b $bits -f "ecdsa$bits"; done
wait
chmod a+r ./*.pub
"""


def make_keys(lab: RealLab) -> None:
    """Make user keys, host keys and a key for certificates in /run/keys on ham1."""
    nodes = lab.path / "nodes/ham1/run/keys"
    completed = lab.run("sh", "-c", _MAKE, "sh", str(nodes), str(lab.path))
    assert completed.returncode == 0, completed.stderr
