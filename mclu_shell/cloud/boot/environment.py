"""The environment variables of templates, as the template contract defines them."""

import os
from collections.abc import Mapping
from contextlib import suppress

from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.templates.template import Template
from mclu_shell.files.trust import read_own_file
from mclu_shell.user_paths import find_ssh_home

# The variables of the template contract that a build gets only if `boot` has the option.
_OPTIONAL = ("size", "timezone")


def build_environment(template: Template, request: BootRequest, guest: DomainSpec) -> dict[str, str]:
    """Return the environment of a template's `build`."""
    variables = {
        "base_image": template.base_image,
        "format": guest.disk_format,
        "name": guest.name,
        "output": guest.output,
        "authorized_keys": _public_keys(),
    }
    if request.size_bytes is not None:
        variables["size"] = str(request.size_bytes)
    if request.timezone is not None:
        variables["timezone"] = request.timezone
    if os.environ.get("MCLU_MIRROR"):
        variables["MCLU_MIRROR"] = os.environ["MCLU_MIRROR"]
    return variables


def env_command(environment: Mapping[str, str]) -> list[str]:
    """Return the words that run a command on a node with a build's environment (env(1)).

    A variable that the build does not get is unset: the user, or the node, may have one of the same name.
    """
    unset = [word for name in _OPTIONAL if name not in environment for word in ("-u", name)]
    return ["env", *unset, *(f"{name}={value}" for name, value in environment.items())]


def xml_environment(template: Template, guest: DomainSpec) -> dict[str, str]:
    """Return the environment of a template's `xml`."""
    return {
        "name": guest.name,
        "format": guest.disk_format,
        "output": guest.output,
        "memory_kb": str(guest.memory_bytes >> 10),
        "vcpus": str(guest.vcpus),
        "base_image": template.base_image,
        "disk_bus": guest.disk_bus,
        "network_model": guest.network_model,
        "mac_addr": guest.mac,
    }


def _public_keys() -> str:
    """Return the user's public SSH keys, one per line."""
    keys = []
    for file in sorted((find_ssh_home() / ".ssh").glob("id_*.pub")):
        with suppress(OSError, UnicodeDecodeError):
            keys.append(read_own_file(file).decode().strip())
    return "\n".join(key for key in keys if key)
