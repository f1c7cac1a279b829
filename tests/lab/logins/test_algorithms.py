"""Algorithms and options of sshd: mclu logs in wherever ssh can."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

_COMPRESSED = "Compression yes"


@table(
    SetUp("chacha20-poly1305", True, sshd="Ciphers chacha20-poly1305@openssh.com"),
    SetUp("aes256-gcm", True, sshd="Ciphers aes256-gcm@openssh.com"),
    SetUp("aes128-cbc, not in ssh's list", False, sshd="Ciphers aes128-cbc"),
    SetUp("aes128-cbc, allowed", True, "Ciphers +aes128-cbc", "Ciphers aes128-cbc"),
    SetUp("aes128-ctr, removed", False, "Ciphers -aes128-ctr", "Ciphers aes128-ctr"),
    SetUp("chacha20-poly1305 first", True, "Ciphers ^chacha20-poly1305@openssh.com"),
    SetUp("unknown cipher", False, "Ciphers no-such-cipher"),
    SetUp("sntrup761", True, sshd="KexAlgorithms sntrup761x25519-sha512@openssh.com"),
    SetUp("curve25519-sha256", True, sshd="KexAlgorithms curve25519-sha256"),
    SetUp("ecdh 521", True, sshd="KexAlgorithms ecdh-sha2-nistp521"),
    SetUp("group18", True, sshd="KexAlgorithms diffie-hellman-group18-sha512"),
    SetUp("group14-sha1, not in ssh's list", False, sshd="KexAlgorithms diffie-hellman-group14-sha1"),
    SetUp(
        "group14-sha1, allowed",
        True,
        "KexAlgorithms +diffie-hellman-group14-sha1",
        "KexAlgorithms diffie-hellman-group14-sha1",
    ),
    SetUp(
        "only curve25519 here, only group18 there",
        False,
        "KexAlgorithms curve25519-sha256",
        "KexAlgorithms diffie-hellman-group18-sha512",
    ),
    SetUp("umac", True, sshd="Ciphers aes256-ctr\nMACs umac-128-etm@openssh.com"),
    SetUp("hmac etm", True, sshd="Ciphers aes256-ctr\nMACs hmac-sha2-512-etm@openssh.com"),
    SetUp("hmac-md5", False, sshd="Ciphers aes256-ctr\nMACs hmac-md5"),
    SetUp("only ecdsa keys accepted", False, sshd="PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256"),
    SetUp("rsa with SHA-1 only", False, sshd="PubkeyAcceptedAlgorithms ssh-rsa", files="use rsa id_rsa"),
    SetUp("compression", True, _COMPRESSED, _COMPRESSED),
    SetUp("compression refused", True, _COMPRESSED, "Compression no"),
    SetUp("rekey limit", True, "RekeyLimit 1M", "RekeyLimit 64K"),
    SetUp("version addendum", True, sshd="VersionAddendum my own sshd"),
    SetUp("banner", True, sshd="Banner /run/$NUMBER/banner", files='echo "Keep out" >"$S/banner"'),
)
def test_algorithms(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
