"""SSH to a node, with paramiko: the only part that imports it."""

import logging

from mclu_shell.cloud.transport.lean_import import lean_imports

with lean_imports():
    import paramiko  # noqa: F401

# What paramiko would write by itself belongs in our errors; nothing may write into the prompt.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False
