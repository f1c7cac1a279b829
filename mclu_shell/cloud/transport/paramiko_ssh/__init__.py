"""SSH to a node with paramiko, which only this package imports."""

import logging

from mclu_shell.cloud.transport.paramiko_ssh import lean_import

lean_import.install()

import paramiko  # noqa: E402, F401

# paramiko's own messages are in our errors; nothing may write into the prompt.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False
