from pathlib import Path

import pytest

from mclu_shell.cloud.transport.openssh.login_faults import login_fault
from mclu_shell.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    NodeFault,
    NodeOff,
    PromptRequired,
    SSHDown,
    SSHFault,
    SSHRefused,
    Unreachable,
)
from tests.support.ssh_target import make_target

FAILED = "Host key verification failed."
CHANGED = f"@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending ED25519 key in /h/known_hosts:3\n{FAILED}\r"
DENIED = "root@ham0: Permission denied (publickey)."


@pytest.mark.parametrize(
    ("messages", "kind", "fact"),
    [
        ("ssh: connect to host ham0 port 22: Connection refused", SSHDown, "ssh: connection refused on port 22"),
        ("ssh: connect to host ham0 port 22: No route to host", NodeOff, "is off"),
        ("ssh: connect to host ham0 port 22: Connection timed out", NodeOff, "is off"),
        ("ssh: connect to host ham0 port 22: Network is unreachable", Unreachable, "network is unreachable"),
        (
            "ssh: Could not resolve hostname ham0: Name or service not known",
            Unreachable,
            "cannot resolve '127.0.0.1' (Name or service not known)",
        ),
        (FAILED, HostKeyUnknown, "ssh: Host key verification failed (host key not known)"),
        (f"{FAILED}\nKilled by signal 1.", HostKeyUnknown, "ssh: Host key verification failed (host key not known)"),
        (CHANGED, HostKeyChanged, "ssh: Host key verification failed (host key has CHANGED)"),
        (
            f"Host key ED25519 is revoked.\n{FAILED}",
            SSHRefused,
            "ssh: Host key verification failed (this host key is revoked)",
        ),
        (DENIED, SSHRefused, "ssh: root@ham0: Permission denied (publickey)"),
        ("root@ham0: Permission denied (publickey,password).", PromptRequired, "ssh: root@ham0: Permission denied "),
        (f"debug1: Server accepts key: /h/id ED25519 SHA256:x\n{DENIED}", PromptRequired, "ssh: root@ham0: Permission"),
        ("Connection closed by 10.0.0.1 port 22", SSHFault, "ssh: Connection closed by 10.0.0.1 port 22"),
        (
            "Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x",
            SSHRefused,
            "ssh: Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x",
        ),
        ("debug1: something\n", SSHFault, "ssh: no message"),
    ],
)
def test_the_last_message_of_ssh_is_the_fault(messages: str, kind: type[NodeFault], fact: str) -> None:
    fault = login_fault(make_target(), messages, asks=False)
    assert type(fault) is kind
    assert fault.fact.startswith(fact)
    assert fault.place == "ham0"


def test_after_prompts_a_fault_does_not_ask_for_more() -> None:
    for messages in ("root@ham0: Permission denied (publickey,password).", FAILED):
        assert type(login_fault(make_target(), messages, asks=True)) is SSHRefused


def test_a_changed_host_key_names_the_known_line_and_the_command_that_removes_it() -> None:
    fault = login_fault(make_target(), CHANGED, asks=False)
    assert fault.remedy.endswith("'ssh-keygen -R 127.0.0.1', then 'ssh root@ham0' (known key: /h/known_hosts:3)")


def test_a_locked_key_is_named_in_the_remedy() -> None:
    messages = f"debug1: Server accepts key: /h/my.key ED25519 SHA256:x\n{DENIED}"
    assert "'ssh-add /h/my.key'" in login_fault(make_target(), messages, asks=False).remedy


def test_a_second_factor_is_no_locked_key() -> None:
    denied = "root@ham0: Permission denied (keyboard-interactive)."
    messages = f"debug1: Server accepts key: /h/my.key ED25519 SHA256:x\n{denied}"
    assert login_fault(make_target(), messages, asks=False).remedy == "run mclu's interactive shell, which prompts"


def test_an_encrypted_key_without_a_public_half_needs_a_prompt(tmp_path: Path) -> None:
    key = tmp_path / "id"
    messages = f"debug1: Trying private key: {key}\n{DENIED}"
    assert type(login_fault(make_target(), messages, asks=False)) is SSHRefused
    key.write_text("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n")
    assert type(login_fault(make_target(), messages, asks=False)) is PromptRequired


def test_a_key_that_others_can_read_is_named_with_its_remedy() -> None:
    messages = f"Permissions 0644 for '/h/id' are too open.\nLoad key \"/h/id\": bad permissions\n{DENIED}"
    assert "'chmod 600 /h/id'" in login_fault(make_target(), messages, asks=False).remedy
