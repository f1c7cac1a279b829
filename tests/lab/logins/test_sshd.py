"""Restrictions in sshd: mclu logs in where ssh does, and reports the reason if it cannot use the connection."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

# The sshd is on the operator's machine.
_LOCAL, _NO_LIBVIRT = "HostName 127.0.0.1\nHostKeyAlias box\nPort 2$NUMBER", "libvirtd not running"
_FORWARDS = "sshd does not forward sockets"


def _restricted(options: str) -> str:
    """Return the command that puts options before the key in authorized_keys."""
    return f"""sed -i 's|^|{options} |' "$S/authorized_keys" """


@table(
    SetUp(
        "publickey and keyboard-interactive",
        False,
        sshd="AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes",
    ),
    SetUp("publickey and password", False, sshd="AuthenticationMethods publickey,password\nPasswordAuthentication yes"),
    SetUp("two keys, one there", False, sshd="AuthenticationMethods publickey,publickey"),
    SetUp(
        "two keys",
        True,
        sshd="AuthenticationMethods publickey,publickey",
        files="add_key rsa id_rsa; authorize rsa id_ed25519",
    ),
    SetUp("publickey or password", True, sshd="AuthenticationMethods publickey password\nPasswordAuthentication yes"),
    SetUp("only passwords", False, sshd="AuthenticationMethods password\nPasswordAuthentication yes"),
    SetUp("PubkeyAuthentication no", False, sshd="PubkeyAuthentication no\nPasswordAuthentication yes"),
    SetUp("no authentication methods", False, sshd="PubkeyAuthentication no"),
    SetUp("PermitRootLogin no", False, sshd="PermitRootLogin no"),
    SetUp("forced commands only", False, sshd="PermitRootLogin forced-commands-only"),
    SetUp("AllowUsers others", False, sshd="AllowUsers web"),
    SetUp("AllowUsers root", True, sshd="AllowUsers root@10.73.0.1"),
    SetUp("DenyUsers root", False, sshd="DenyUsers root"),
    SetUp("AllowGroups others", False, sshd="AllowGroups web"),
    SetUp("unknown user", False, "User nobody-there"),
    SetUp("user of mclu.conf", False, node="user=nobody-there", options="-l nobody-there"),
    SetUp("MaxAuthTries 1", True, sshd="MaxAuthTries 1"),
    SetUp(
        "MaxAuthTries 1, second key",
        False,
        "IdentityFile ~/.ssh/many1\nIdentityFile ~/.ssh/id_ed25519",
        "MaxAuthTries 1",
        "add_key many1 many1",
    ),
    SetUp("LoginGraceTime", True, sshd="LoginGraceTime 2"),
    SetUp(
        "LoginGraceTime, slow agent",
        False,
        sshd="LoginGraceTime 2",
        files="rm id_*",
        start="agent id_ed25519; weaken --delay 4",
    ),
    SetUp("MaxStartups", True, sshd="MaxStartups 2:100:3"),
    SetUp("no authorized keys file", False, files='rm "$S/authorized_keys"'),
    SetUp(
        "AuthorizedKeysCommand",
        True,
        sshd="AuthorizedKeysCommand /bin/cat /run/$NUMBER/keys\nAuthorizedKeysCommandUser root",
        files='mv "$S/authorized_keys" "$S/keys"',
    ),
    SetUp("greeting after 3 s", True, _LOCAL, start="late_sshd 3", says=_NO_LIBVIRT),
    SetUp(
        "greeting after 6 s, answer_timeout",
        True,
        _LOCAL,
        start="late_sshd 6",
        node="answer_timeout=10",
        says=_NO_LIBVIRT,
    ),
    SetUp("ClientAliveInterval", True, sshd="ClientAliveInterval 1"),
)
def test_authentication(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("from here", True, files=_restricted('from="10.73.0.0/16"')),
    SetUp("from elsewhere", False, files=_restricted('from="192.0.2.1"')),
    SetUp("expired", False, files=_restricted('expiry-time="20200101"')),
    SetUp("cert-authority", False, files=_restricted("cert-authority")),
    SetUp("restrict", True, files=_restricted("restrict"), says=_FORWARDS),
    SetUp("no-port-forwarding", True, files=_restricted("no-port-forwarding"), says=_FORWARDS),
    SetUp("restrict, port-forwarding", True, files=_restricted("restrict,port-forwarding")),
    SetUp("permitopen", True, files=_restricted('permitopen="localhost:80"'), says=_FORWARDS),
    SetUp("command", True, files=_restricted('command="true"')),
    SetUp("command that fails", True, files=_restricted('command="exit 3"'), runs=False),
    SetUp("forced command and restrict", True, files=_restricted('restrict,command="true"'), says="does not forward"),
    SetUp("AllowTcpForwarding no", True, sshd="AllowTcpForwarding no", says=_FORWARDS),
    SetUp("AllowTcpForwarding remote", True, sshd="AllowTcpForwarding remote", says=_FORWARDS),
    SetUp("AllowTcpForwarding local", True, sshd="AllowTcpForwarding local"),
    SetUp("AllowStreamLocalForwarding no", True, sshd="AllowStreamLocalForwarding no", says=_FORWARDS),
    SetUp("AllowStreamLocalForwarding local", True, sshd="AllowStreamLocalForwarding local"),
    SetUp("AllowStreamLocalForwarding remote", True, sshd="AllowStreamLocalForwarding remote", says=_FORWARDS),
    SetUp("DisableForwarding", True, sshd="DisableForwarding yes", says=_FORWARDS),
    SetUp("PermitOpen none", True, sshd="PermitOpen none", says=_FORWARDS),
    SetUp("MaxSessions 1", True, sshd="MaxSessions 1"),
    SetUp("MaxSessions 0", True, sshd="MaxSessions 0", runs=False),
    SetUp("MaxSessions 0, openssh", True, sshd="MaxSessions 0", runs=False, node="via=openssh"),
    SetUp("restrict, openssh", True, files=_restricted("restrict"), node="via=openssh", says=_FORWARDS),
    SetUp("AllowTcpForwarding no, openssh", True, sshd="AllowTcpForwarding no", node="via=openssh", says=_FORWARDS),
    SetUp("PermitOpen none, openssh", True, sshd="PermitOpen none", node="via=openssh", says=_FORWARDS),
    SetUp("ForceCommand", True, sshd="ForceCommand true"),
    SetUp("ForceCommand internal-sftp", True, sshd="ForceCommand internal-sftp", runs=False),
    SetUp("PermitTTY no", True, "RequestTTY force", "PermitTTY no", runs=False),
    SetUp("Match user", False, sshd="Match User root\n  AuthenticationMethods password\nMatch all"),
)
def test_restrictions(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
