"""The configuration of ssh: mclu logs in to the node that ssh logs in to."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table


@table(
    SetUp("Host", True, "Host box\n  User root\nHost *\n  User other"),
    SetUp("Host pattern", False, "Host b*\n  User other"),
    SetUp("Host negated", True, "Host b* !box\n  User other"),
    SetUp("Host with a comma", True, "Host a,box\n  User other"),
    SetUp("Match host", False, "Match host b*\n  User other"),
    SetUp("Match originalhost", False, "Match originalhost box\n  User other"),
    SetUp("Match user", False, "Match user root\n  PubkeyAuthentication no"),
    SetUp("Match localuser", False, "Match localuser root\n  User other"),
    SetUp("Match exec true", False, 'Match exec "true"\n  User other'),
    SetUp("Match exec false", True, 'Match exec "false"\n  User other'),
    SetUp("Match exec with a token", False, 'Match exec "test %h = box"\n  User other'),
    SetUp("Match exec with a variable", False, 'Match exec "test $HOME = %d"\n  User other'),
    SetUp("Match exec reads its input", True, 'Match exec "cat >/dev/null; false"\n  User other'),
    SetUp("Match exec writes", True, 'Match exec "echo user other; false"\n  User other'),
    SetUp("Match exec takes 3 s", False, 'Match exec "sleep 3"\n  User other'),
    SetUp("Match final", False, "Match final\n  User other"),
    SetUp("Match final host", False, "Host box\n  HostName $ADDRESS\nMatch final host $ADDRESS\n  User other"),
    SetUp("Match canonical", True, "Match canonical\n  User other"),
    SetUp("Match all", False, "Match all\n  User other"),
    SetUp("Include", False, "Include more", files='echo "User other" >more'),
    SetUp("Include pattern", False, "Include conf.d/*", files='mkdir conf.d; echo "User other" >conf.d/a'),
    SetUp("Include missing", True, "Include missing"),
    SetUp("Include in a block", True, "Host other\n  Include more", files='echo "User other" >more'),
    SetUp("first value wins", True, "User root\nUser other"),
    SetUp("equals sign", False, "User=other"),
    SetUp("quoted", False, 'User "other"'),
    SetUp("unknown option", False, "NoSuchOption yes"),
    SetUp("IgnoreUnknown", True, "IgnoreUnknown NoSuch*\nNoSuchOption yes"),
    SetUp("bad value", False, "Port many"),
    SetUp("others can write", False, files="chmod 666 config"),
    SetUp("no configuration", True, files="rm config"),
    SetUp("comment and blanks", True, "  # User other\n\n\tUser   root   # root"),
    SetUp("carriage returns", True, "User root\r\nPort 22\r"),
    SetUp("user of mclu.conf before the configuration", True, "User other", node="user=root", options="-l root"),
    SetUp("port of mclu.conf before the configuration", True, "Port 1", node="port=22", options="-p 22"),
    SetUp("Tag", True, "IgnoreUnknown Tag\nTag home"),
)
def test_blocks(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("HostName", True, "HostName $ADDRESS\nHostKeyAlias box"),
    SetUp("HostName, key of the address unknown", False, "HostName $ADDRESS"),
    SetUp("HostName with a token", True, "HostName %h"),
    SetUp("HostName of another node", True, "HostName ham0"),
    SetUp("HostName without an address", False, "HostName no-such-host"),
    SetUp("address in mclu.conf", True, "HostKeyAlias box", node="address=$ADDRESS", options="-o HostName=$ADDRESS"),
    SetUp("Port closed", False, "Port 2222"),
    SetUp(
        "CanonicalizeHostname",
        True,
        "CanonicalizeHostname yes\nCanonicalDomains lan\nHostKeyAlias box",
        files='echo "$ADDRESS box.lan." >>$W/hosts',
    ),
    SetUp(
        "CanonicalizeHostname, key unknown",
        False,
        "CanonicalizeHostname yes\nCanonicalDomains lan",
        files='echo "$ADDRESS box.lan." >>$W/hosts',
    ),
    SetUp(
        "CanonicalizeHostname, no fallback",
        False,
        "CanonicalizeHostname yes\nCanonicalDomains lan\nCanonicalizeFallbackLocal no",
    ),
    SetUp(
        "Host of the canonical name",
        False,
        "CanonicalizeHostname yes\nCanonicalDomains lan\nHostKeyAlias box\nHost *.lan\n  User other",
        files='echo "$ADDRESS box.lan." >>$W/hosts',
    ),
    SetUp("AddressFamily inet", True, "AddressFamily inet"),
    SetUp("AddressFamily inet6", False, "AddressFamily inet6"),
    SetUp("BindAddress", True, "BindAddress 10.73.0.1"),
    SetUp("BindAddress of another machine", False, "BindAddress 192.0.2.1"),
    SetUp("BindInterface", True, "BindInterface lan0"),
    SetUp("BindInterface missing", False, "BindInterface no-such"),
    SetUp(
        "two addresses, the first closed", True, files='{ echo "10.73.0.1 box"; cat $W/hosts; } >$W/h; mv $W/h $W/hosts'
    ),
    SetUp("ConnectTimeout", True, "ConnectTimeout 1"),
    SetUp("ConnectionAttempts", True, "ConnectionAttempts 2"),
    SetUp("TCPKeepAlive no", True, "TCPKeepAlive no\nServerAliveInterval 1\nServerAliveCountMax 2"),
    SetUp("IPQoS", True, "IPQoS none"),
    SetUp("LogLevel QUIET", True, "LogLevel QUIET"),
    SetUp("LogLevel QUIET, refused", False, "LogLevel QUIET\nUser other"),
    SetUp("LogVerbose", True, "LogVerbose *"),
    SetUp("SyslogFacility", True, "SyslogFacility LOCAL1"),
    SetUp("VisualHostKey", True, "VisualHostKey yes"),
    SetUp("BatchMode no", False, "BatchMode no\nUser other"),
    SetUp("GSSAPIAuthentication", True, "GSSAPIAuthentication yes"),
    SetUp("HostbasedAuthentication", True, "HostbasedAuthentication yes\nEnableSSHKeysign yes"),
    SetUp("PKCS11Provider missing", True, "PKCS11Provider /nowhere.so"),
    SetUp("SecurityKeyProvider missing", True, "SecurityKeyProvider /nowhere.so"),
)
def test_addresses_and_options(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
