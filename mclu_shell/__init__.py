"""mclu, Mini Cloud: the smallest sensible interface to parallel libvirt over SSH."""

__version__ = "0.1.0"
