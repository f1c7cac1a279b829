"""The user's keys in files: mclu logs in with those that ssh logs in with."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

_ENCRYPT = "encrypt -f id_ed25519"
_CA = "TrustedUserCAKeys $S/ca.pub"


@table(
    SetUp("ed25519", True),
    SetUp("no key", False, files="rm id_*"),
    SetUp("not authorized", False, files="authorize other"),
    SetUp("rsa", True, files="use rsa id_rsa"),
    SetUp("rsa, PEM", True, files="use rsa id_rsa; convert id_rsa -m PEM"),
    SetUp("rsa, PKCS8", True, files="use rsa id_rsa; convert id_rsa -m PKCS8"),
    SetUp("ecdsa 256", True, files="use ecdsa256 id_ecdsa"),
    SetUp("ecdsa 384", True, files="use ecdsa384 id_ecdsa"),
    SetUp("ecdsa 521", True, files="use ecdsa521 id_ecdsa"),
    SetUp("ecdsa, PEM", True, files="use ecdsa256 id_ecdsa; convert id_ecdsa -m PEM"),
    SetUp("ecdsa, PKCS8", True, files="use ecdsa384 id_ecdsa; convert id_ecdsa -m PKCS8"),
    SetUp("no public half", True, files="rm id_ed25519.pub"),
    SetUp("public half of another key", False, files='cp "$K/other.pub" id_ed25519.pub'),
    SetUp("garbage as public half", True, files="echo garbage >id_ed25519.pub"),
    SetUp("carriage returns", False, files="sed -i 's/$/\\r/' id_ed25519"),
    SetUp("others can read", False, files="chmod 644 id_ed25519"),
    SetUp("group can read", False, files="chmod 640 id_ed25519"),
    SetUp("read-only", True, files="chmod 400 id_ed25519"),
    SetUp("of another user, others can read", True, files="chmod 644 id_ed25519; chown 100 id_ed25519"),
    SetUp("empty file", False, files=": >id_ed25519"),
    SetUp("directory", False, files="rm id_ed25519; mkdir id_ed25519"),
    SetUp("garbage", False, files="echo garbage >id_ed25519"),
    SetUp("truncated", False, files="sed -i 3d id_ed25519"),
    SetUp("text before the key", False, files="sed -i '1i key' id_ed25519"),
    SetUp("text after the key", True, files="echo text >>id_ed25519"),
    SetUp("garbage beside a key", True, files="echo garbage >id_rsa; echo x >id_ecdsa; chmod 600 id_*"),
    SetUp("a link", True, files="mv id_ed25519 key; ln -s key id_ed25519"),
    SetUp("security key beside a key", True, files="security_key id_ed25519_sk"),
    SetUp(
        "authorized security key beside a key",
        True,
        files="security_key id_ed25519_sk; cat id_ed25519_sk.pub >>$S/authorized_keys",
    ),
    SetUp(
        "only a security key",
        False,
        files="rm id_ed25519; security_key id_ed25519_sk; cp id_ed25519_sk.pub $S/authorized_keys",
    ),
    SetUp(
        "security key first",
        True,
        "IdentityFile ~/.ssh/id_ed25519_sk\nIdentityFile ~/.ssh/id_ed25519",
        files="security_key id_ed25519_sk; cat id_ed25519_sk.pub >>$S/authorized_keys",
    ),
    SetUp("encrypted", False, files=_ENCRYPT),
    SetUp("encrypted, PEM", False, files="use rsa id_rsa; encrypt -m PEM -f id_rsa"),
    SetUp(
        "encrypted beside a key",
        True,
        files="add_key other id_rsa; encrypt -f id_rsa",
    ),
    SetUp(
        "authorized encrypted beside a key",
        True,
        files="add_key ecdsa256 id_ecdsa; encrypt -f id_ecdsa; authorize id_ed25519 ecdsa256",
    ),
)
def test_key_files(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("IdentityFile", True, "IdentityFile ~/.ssh/special", files="use other special"),
    SetUp("IdentityFile missing", False, "IdentityFile ~/.ssh/missing"),
    SetUp("IdentityFile none", False, "IdentityFile none"),
    SetUp(
        "several",
        True,
        "IdentityFile ~/.ssh/missing\nIdentityFile ~/.ssh/many1\nIdentityFile ~/.ssh/id_ed25519",
        files='cp -p "$K/many1" .',
    ),
    SetUp("variable", True, "IdentityFile ${HOME}/.ssh/special", files="use other special"),
    SetUp("unset variable", False, "IdentityFile ${NO_SUCH}/.ssh/id_ed25519"),
    SetUp("tokens", True, "IdentityFile %d/.ssh/%u-%h-%n-%r-%p", files="use other root-box-box-root-22"),
    SetUp("local host name", True, "IdentityFile ~/.ssh/%L-%l", files='use other "$(hostname -s)-$(hostname)"'),
    SetUp("unknown token", False, "IdentityFile ~/.ssh/%y"),
    SetUp("relative", True, "IdentityFile special", files="use other special"),
    SetUp("with a blank", True, 'IdentityFile "~/.ssh/my key"', files="use other 'my key'"),
    SetUp(
        "identity in mclu.conf",
        True,
        files="use other special",
        node="identity=~/.ssh/special",
        options="-i $LAB/home/.ssh/special",
    ),
    SetUp(
        "six keys, MaxAuthTries 6",
        True,
        "\n".join(f"IdentityFile ~/.ssh/many{n}" for n in range(1, 7)),
        "MaxAuthTries 6",
        'cp -p "$K"/many* .; authorize many6',
    ),
    SetUp(
        "six keys, MaxAuthTries 5",
        False,
        "\n".join(f"IdentityFile ~/.ssh/many{n}" for n in range(1, 7)),
        "MaxAuthTries 5",
        'cp -p "$K"/many* .; authorize many6',
    ),
    SetUp(
        "same key twice, MaxAuthTries 2",
        False,
        "IdentityFile ~/.ssh/many1\nIdentityFile ~/.ssh/copy\nIdentityFile ~/.ssh/many2",
        "MaxAuthTries 2",
        'cp -p "$K"/many* .; cp -p many1 copy; authorize many2',
    ),
    SetUp("PubkeyAuthentication no", False, "PubkeyAuthentication no"),
    SetUp("PubkeyAuthentication unbound", True, "PubkeyAuthentication unbound"),
    SetUp("PubkeyAuthentication host-bound", True, "PubkeyAuthentication host-bound"),
    SetUp("sshd with RequiredRSASize", False, sshd="RequiredRSASize 3072", files="use rsa id_rsa"),
    SetUp("PreferredAuthentications password", False, "PreferredAuthentications password"),
    SetUp("PreferredAuthentications publickey", True, "PreferredAuthentications publickey"),
    SetUp("PubkeyAcceptedAlgorithms", True, "PubkeyAcceptedAlgorithms ssh-ed25519"),
    SetUp("PubkeyAcceptedAlgorithms without the key's", False, "PubkeyAcceptedAlgorithms rsa-sha2-512"),
    SetUp("rsa, only rsa-sha2-256", True, "PubkeyAcceptedAlgorithms rsa-sha2-256", files="use rsa id_rsa"),
    SetUp(
        "rsa, sshd with rsa-sha2-512 only", True, sshd="PubkeyAcceptedAlgorithms rsa-sha2-512", files="use rsa id_rsa"
    ),
    SetUp("RequiredRSASize", False, "RequiredRSASize 4096", files="use rsa id_rsa"),
)
def test_identities(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("certificate", True, sshd=_CA, files="certify_user root +1h; authorize"),
    SetUp("certificate expired", False, sshd=_CA, files="certify_user root 20200101:20210101; authorize"),
    SetUp("certificate of another user", False, sshd=_CA, files="certify_user web +1h; authorize"),
    SetUp("certificate expired, key authorized", True, sshd=_CA, files="certify_user root 20200101:20210101"),
    SetUp("garbage certificate, key authorized", True, files="echo garbage >id_ed25519-cert.pub"),
    SetUp("certificate of another key", True, sshd=_CA, files="certify_user root +1h; use other id_ed25519"),
    SetUp(
        "CertificateFile",
        True,
        "CertificateFile ~/.ssh/x-cert.pub",
        _CA,
        "certify_user root +1h; mv id_ed25519-cert.pub x-cert.pub; authorize",
    ),
    SetUp("CertificateFile missing", True, "CertificateFile ~/.ssh/missing"),
    SetUp(
        "certificate revoked",
        False,
        sshd=f"{_CA}\nRevokedKeys $S/revoked",
        files="certify_user root +1h; authorize; cp $K/id_ed25519.pub $S/revoked",
    ),
    SetUp("key revoked", False, sshd="RevokedKeys $S/revoked", files="cp $K/id_ed25519.pub $S/revoked"),
)
def test_certificates(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
