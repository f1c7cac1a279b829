"""Host keys: mclu accepts those that ssh accepts, and no others."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

_CERTIFIED = "HostKey $S/host_ed25519\nHostCertificate $S/host_ed25519-cert.pub"
_TRUST_CA = 'echo "@cert-authority box $(key ca)" >known_hosts'
_TWO_KEYS = "HostKey /run/keys/host_ecdsa\nHostKey /run/keys/host_ed25519"
_DNS = "VerifyHostKeyDNS yes"


def _known(line: str) -> str:
    """Return the command that makes a line the only one of known_hosts."""
    return f'echo "{line}" >known_hosts'


@table(
    SetUp("known", True),
    SetUp("unknown", False, files="rm known_hosts"),
    SetUp("empty file", False, files=": >known_hosts"),
    SetUp("hashed", True, files="ssh-keygen -H -f known_hosts"),
    SetUp("changed", False, files=_known("box $(key other)")),
    SetUp("changed, hashed", False, files=_known("box $(key other)") + "; ssh-keygen -H -f known_hosts"),
    SetUp("other kind known", False, files=_known("box $(key host_ecdsa)")),
    SetUp("other kind known and presented", True, sshd=_TWO_KEYS, files=_known("box $(key host_ecdsa)")),
    SetUp("other kind known and changed", False, sshd=_TWO_KEYS, files=_known("box $(key ecdsa256)")),
    SetUp(
        "one of two lines", True, files=_known("box $(key other)") + '; echo "box $(key host_ed25519)" >>known_hosts'
    ),
    SetUp("name and address", True, files=_known("box,$ADDRESS $(key host_ed25519)")),
    SetUp("only address", False, files=_known("$ADDRESS $(key host_ed25519)")),
    SetUp("wildcard", True, files=_known("b?* $(key host_ed25519)")),
    SetUp("negated", False, files=_known("b*,!box $(key host_ed25519)")),
    SetUp("negated other", True, files=_known("!bax,b* $(key host_ed25519)")),
    SetUp("upper case", True, files=_known("BOX $(key host_ed25519)")),
    SetUp("comment and blanks", True, files=_known("#box x\n\n   box   $(key host_ed25519)  comment")),
    SetUp("tabs", True, files="tr ' ' '\\t' <known_hosts >x; mv x known_hosts"),
    SetUp("carriage returns", True, files="sed -i 's/$/\\r/' known_hosts"),
    SetUp("bytes that are not UTF-8", True, files="printf '\\377\\376 ssh-rsa x\\n' >>known_hosts"),
    SetUp("no end of line", True, files=_known("x y") + '; printf %s "box $(key host_ed25519)" >>known_hosts'),
    SetUp("key of another name", False, files=_known("ham0 $(key host_ed25519)")),
    SetUp("commented out", False, files=_known("#box $(key host_ed25519)")),
    SetUp("garbage line", True, files="echo 'box ssh-ed25519 AAAA!' >>known_hosts; echo '@what box' >>known_hosts"),
    SetUp("truncated key", False, files=_known("box $(key host_ed25519 | cut -c1-60)")),
    SetUp("key without kind", False, files=_known("box $(key host_ed25519 | cut -d' ' -f2)")),
    SetUp("unreadable", False, files="rm known_hosts; mkdir known_hosts"),
)
def test_known_hosts(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("at port", True, "Port 2222", "Port 2222", _known("[box]:2222 $(key host_ed25519)")),
    SetUp(
        "at port, hashed",
        True,
        "Port 2222",
        "Port 2222",
        _known("[box]:2222 $(key host_ed25519)") + "; ssh-keygen -H -f known_hosts",
    ),
    SetUp("at port 22 only", True, "Port 2222", "Port 2222"),
    SetUp("changed at port", False, "Port 2222", "Port 2222", 'echo "[box]:2222 $(key other)" >>known_hosts'),
    SetUp(
        "at port, changed at 22",
        True,
        "Port 2222",
        "Port 2222",
        _known("[box]:2222 $(key host_ed25519)\nbox $(key other)"),
    ),
    SetUp("at another port", False, "Port 2222", "Port 2222", _known("[box]:2223 $(key host_ed25519)")),
    SetUp(
        "port in mclu.conf",
        True,
        "",
        "Port 2222",
        _known("[box]:2222 $(key host_ed25519)"),
        node="port=2222",
        options="-p 2222",
    ),
    SetUp("revoked line", False, files='echo "@revoked * $(key host_ed25519)" >>known_hosts'),
    SetUp("revoked other key", True, files='echo "@revoked * $(key other)" >>known_hosts'),
    SetUp("revoked for another host", True, files='echo "@revoked other $(key host_ed25519)" >>known_hosts'),
    SetUp(
        # It warns, and offers no passwords.
        "revoked, StrictHostKeyChecking no",
        True,
        "StrictHostKeyChecking no",
        files=_known("@revoked box $(key host_ed25519)"),
    ),
    SetUp("RevokedHostKeys list", False, "RevokedHostKeys $LAB/home/.ssh/revoked", files="key host_ed25519 >revoked"),
    SetUp(
        "RevokedHostKeys KRL",
        False,
        "RevokedHostKeys $LAB/home/.ssh/krl",
        files='ssh-keygen -qkf krl "$K/host_ed25519.pub"',
    ),
    SetUp("RevokedHostKeys other key", True, "RevokedHostKeys $LAB/home/.ssh/revoked", files="key other >revoked"),
    SetUp("RevokedHostKeys missing", False, "RevokedHostKeys $LAB/home/.ssh/missing"),
)
def test_ports_and_revoked_keys(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("certificate", True, sshd=_CERTIFIED, files=f"certify_host ca box +1h; {_TRUST_CA}"),
    SetUp("certificate expired", False, sshd=_CERTIFIED, files=f"certify_host ca box 20200101:20210101; {_TRUST_CA}"),
    SetUp("certificate of another host", False, sshd=_CERTIFIED, files=f"certify_host ca other +1h; {_TRUST_CA}"),
    SetUp("certificate of another CA", False, sshd=_CERTIFIED, files=f"certify_host other box +1h; {_TRUST_CA}"),
    SetUp("certificate without CA, key known", True, sshd=_CERTIFIED, files="certify_host ca box +1h"),
    SetUp(
        "certificate expired, key known",
        True,
        sshd=_CERTIFIED,
        files="certify_host ca box 20200101:20210101; " + _TRUST_CA + 'echo "box $(key host_ed25519)" >>known_hosts',
    ),
    SetUp("CA key presented as host key", False, sshd="HostKey /run/keys/ca", files=_TRUST_CA),
    SetUp(
        "CA revoked",
        False,
        sshd=_CERTIFIED,
        files=f'certify_host ca box +1h; {_TRUST_CA}; echo "@revoked * $(key ca)" >>known_hosts',
    ),
    SetUp(
        "key of certificate revoked",
        False,
        sshd=_CERTIFIED,
        files=f'certify_host ca box +1h; {_TRUST_CA}; echo "@revoked * $(key host_ed25519)" >>known_hosts',
    ),
)
def test_host_certificates(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
