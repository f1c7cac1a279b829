import subprocess
import sys

PROGRAM = """
import sys
import mclu_shell.cloud.transport.paramiko_ssh
import paramiko
print([name for name in sys.modules if name.startswith(("invoke", "importlib.metadata"))])
import importlib.metadata
print(importlib.metadata.version("paramiko").split(".")[0].isdecimal(), paramiko.config.invoke)
"""


def test_paramiko_is_imported_without_invoke_and_metadata() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True None"]
