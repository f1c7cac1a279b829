"""Options of ssh about host keys: mclu accepts the keys that ssh accepts with them, and no others."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

_UNKNOWN, _CHANGED = "rm known_hosts", 'echo "box $(key other)" >known_hosts'


@table(
    SetUp("HostKeyAlias", True, "HostKeyAlias alias", files="sed -i s/^box/alias/ known_hosts"),
    SetUp("HostKeyAlias unknown", False, "HostKeyAlias alias"),
    SetUp(
        "HostKeyAlias without port",
        True,
        "HostKeyAlias alias\nPort 2222",
        "Port 2222",
        "sed -i s/^box/alias/ known_hosts",
    ),
    SetUp(
        "CheckHostIP, changed at the address",
        False,
        "CheckHostIP yes",
        files='echo "$ADDRESS $(key other)" >>known_hosts',
    ),
    SetUp("CheckHostIP no", True, "CheckHostIP no", files='echo "$ADDRESS $(key other)" >>known_hosts'),
    SetUp("second file", True, "UserKnownHostsFile ~/.ssh/a ~/.ssh/b", files="mv known_hosts b"),
    SetUp(
        "changed in the first file",
        True,
        "UserKnownHostsFile ~/.ssh/a ~/.ssh/known_hosts",
        files='echo "box $(key other)" >a',
    ),
    SetUp("file name with a blank", True, 'UserKnownHostsFile "~/.ssh/my hosts"', files="mv known_hosts 'my hosts'"),
    SetUp("file name with tokens", True, "UserKnownHostsFile %d/.ssh/%h-%k", files="mv known_hosts box-box"),
    SetUp("file name with a variable", True, "UserKnownHostsFile ${HOME}/.ssh/x", files="mv known_hosts x"),
    SetUp("file none", False, "UserKnownHostsFile none", files="mv known_hosts none"),
    SetUp("file /dev/null", False, "UserKnownHostsFile /dev/null"),
    SetUp("GlobalKnownHostsFile", True, "GlobalKnownHostsFile ~/.ssh/x", files="mv known_hosts x"),
    SetUp("GlobalKnownHostsFile none", False, "GlobalKnownHostsFile none", files="mv known_hosts none"),
    SetUp(
        "revoked in the global file",
        False,
        "GlobalKnownHostsFile ~/.ssh/x",
        files='echo "@revoked box $(key host_ed25519)" >x',
    ),
)
def test_files_and_names(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("yes, unknown", False, "StrictHostKeyChecking yes", files=_UNKNOWN),
    SetUp("yes, known", True, "StrictHostKeyChecking yes"),
    SetUp("ask, unknown", False, "StrictHostKeyChecking ask", files=_UNKNOWN),
    SetUp("accept-new, unknown", True, "StrictHostKeyChecking accept-new", files=_UNKNOWN),
    SetUp("accept-new, changed", False, "StrictHostKeyChecking accept-new", files=_CHANGED),
    SetUp(
        "accept-new, cannot be saved", True, "StrictHostKeyChecking accept-new", files=f"{_UNKNOWN}; mkdir known_hosts"
    ),
    SetUp("no, unknown", True, "StrictHostKeyChecking no", files=_UNKNOWN),
    SetUp("no, changed", True, "StrictHostKeyChecking no", files=_CHANGED),
    SetUp("no, /dev/null", True, "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null", files=_UNKNOWN),
    SetUp("off, unknown", True, "StrictHostKeyChecking off", files=_UNKNOWN),
)
def test_strict_host_key_checking(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("KnownHostsCommand", True, "KnownHostsCommand /bin/cat %d/.ssh/x", files="mv known_hosts x"),
    SetUp("KnownHostsCommand fails", False, "KnownHostsCommand /bin/false"),
    SetUp(
        "KnownHostsCommand revokes",
        False,
        "KnownHostsCommand /bin/cat %d/.ssh/x",
        files='echo "@revoked box $(key host_ed25519)" >x',
    ),
    SetUp("VerifyHostKeyDNS, known", True, "VerifyHostKeyDNS yes"),
    SetUp("VerifyHostKeyDNS, unknown", False, "VerifyHostKeyDNS yes", files=_UNKNOWN),
    SetUp("UpdateHostKeys", True, "UpdateHostKeys yes", "HostKey /run/keys/host_ed25519\nHostKey /run/keys/host_rsa"),
    SetUp(
        "HostKeyAlgorithms",
        True,
        "HostKeyAlgorithms ecdsa-sha2-nistp256",
        "HostKey /run/keys/host_ecdsa",
        'echo "box $(key host_ecdsa)" >>known_hosts',
    ),
    SetUp(
        "HostKeyAlgorithms, known kind second",
        False,
        "HostKeyAlgorithms ssh-ed25519,ecdsa-sha2-nistp256",
        "HostKey /run/keys/host_ecdsa\nHostKey /run/keys/host_ed25519",
        'echo "box $(key host_ecdsa)" >known_hosts',
    ),
    SetUp(
        "HostKeyAlgorithms ^ssh-ed25519, known kind second",
        False,
        "HostKeyAlgorithms ^ssh-ed25519",
        "HostKey /run/keys/host_ecdsa\nHostKey /run/keys/host_ed25519",
        'echo "box $(key host_ecdsa)" >known_hosts',
    ),
    SetUp(
        "HostKeyAlgorithms -rsa, known kind second",
        True,
        "HostKeyAlgorithms -rsa-sha2-256",
        "HostKey /run/keys/host_ecdsa\nHostKey /run/keys/host_ed25519",
        'echo "box $(key host_ecdsa)" >known_hosts',
    ),
    SetUp("HostKeyAlgorithms, not offered", False, "HostKeyAlgorithms ecdsa-sha2-nistp256"),
    SetUp("HostKeyAlgorithms -ssh-ed25519", False, "HostKeyAlgorithms -ssh-ed25519*"),
    SetUp("rsa only", True, sshd="HostKey /run/keys/host_rsa", files='echo "box $(key host_rsa)" >>known_hosts'),
    SetUp(
        "rsa with 1024 bits",
        True,
        sshd="HostKey /run/keys/host_short\nRequiredRSASize 1024",
        files='echo "box $(key host_short)" >>known_hosts',
    ),
    SetUp(
        "RequiredRSASize",
        False,
        "RequiredRSASize 2048",
        "HostKey /run/keys/host_short",
        'echo "box $(key host_short)" >>known_hosts',
    ),
    SetUp(
        "NoHostAuthenticationForLocalhost",
        True,
        "HostName 127.0.0.1\nPort 2$NUMBER\nNoHostAuthenticationForLocalhost yes",
        files=_UNKNOWN,
        start="local_sshd",
        says="libvirtd not running",
    ),
    SetUp(
        "localhost",
        False,
        "HostName 127.0.0.1\nPort 2$NUMBER",
        files=_UNKNOWN,
        start="local_sshd",
    ),
)
def test_options(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(SetUp("HashKnownHosts", True, "HashKnownHosts yes\nStrictHostKeyChecking accept-new", files=_UNKNOWN))
def test_a_new_key_is_stored_hashed(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    outcome = log_in(setup)
    outcome.check(setup)
    assert outcome.known_hosts.startswith("|1|")
    assert "box" not in outcome.known_hosts
