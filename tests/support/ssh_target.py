"""Targets of SSH logins for tests without an SSH configuration."""

from mclu_shell.cloud.transport.openssh.config import Algorithms, Target


def make_target(host: str = "127.0.0.1", port: int = 22, *, proxy: str = "") -> Target:
    return Target(
        node="ham0", host=host, port=port, user="root", identities=(), identities_only=False, agent="",
        known_hosts=(), host_key_name="", proxy_command=proxy, jump="",
        algorithms=Algorithms((), (), (), (), (), 0),
    )  # fmt: skip
