"""mclu (Mini Cloud): virtual machines on a few Linux hosts, over SSH and libvirt."""

__version__ = "0.1.0"
