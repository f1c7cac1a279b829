import subprocess

import pytest

from mclu_shell.cloud.transport.openssh.paramiko_support import unsupported_options


def settings(*options: str) -> dict[str, list[str]]:
    """Return what `ssh -G` prints with these options and no configuration file."""
    words = [word for option in options for word in ("-o", option)]
    done = subprocess.run(["ssh", "-F", "none", "-G", *words, "ham0"], capture_output=True, text=True, check=True)
    values: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key, []).append(value)
    return values


def test_paramiko_honours_the_defaults_of_ssh() -> None:
    assert unsupported_options(settings()) == ()


@pytest.mark.parametrize(
    "option",
    [
        "Ciphers=aes256-ctr",
        "HashKnownHosts=yes",
        "IdentitiesOnly=yes",
        "LocalForward=8080 localhost:80",
        "PreferredAuthentications=keyboard-interactive,publickey",
        "ProxyJump=gate",
        "ServerAliveInterval=5",
        "SetEnv=A=b",
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=none",
    ],
)
def test_paramiko_honours_options_that_do_not_restrict_or_that_it_applies(option: str) -> None:
    assert unsupported_options(settings(option)) == ()


@pytest.mark.parametrize(
    "option",
    [
        "AddressFamily=inet6",
        "BindAddress=127.0.0.1",
        "CertificateFile=/h/id-cert.pub",
        "CheckHostIP=yes",
        "KnownHostsCommand=/bin/false",
        "NoHostAuthenticationForLocalhost=yes",
        "PKCS11Provider=/usr/lib/x.so",
        "PreferredAuthentications=password",
        "PubkeyAuthentication=no",
        "RevokedHostKeys=/etc/revoked",
        "UserKnownHostsFile=known",
        'UserKnownHostsFile="/h/my hosts"',
        "VerifyHostKeyDNS=yes",
    ],
)
def test_an_option_that_restricts_needs_openssh(option: str) -> None:
    [unsupported] = unsupported_options(settings(option))
    assert unsupported.partition(" ")[0] == option.partition("=")[0].lower()


def test_an_option_of_a_later_ssh_needs_openssh() -> None:
    assert unsupported_options({"refuseconnection": ["no reason"]}) == ("refuseconnection no reason",)
