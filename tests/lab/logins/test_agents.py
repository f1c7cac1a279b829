"""Agents: mclu logs in with the keys that ssh logs in with."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

_PUBLIC_ONLY = "rm id_ed25519"
_ENCRYPTED = "encrypt -f id_ed25519"
_MANY = "agent many1 many2 many3 many4 many5"


@table(
    SetUp("key in the agent", True, files="rm id_*", start="agent id_ed25519"),
    SetUp("rsa in the agent", True, files="rm id_*; authorize rsa", start="agent rsa"),
    SetUp("ecdsa in the agent", True, files="rm id_*; authorize ecdsa384", start="agent ecdsa384"),
    SetUp("empty agent", True, start="agent"),
    SetUp("other keys in the agent", True, start="agent many1 many2"),
    SetUp("key after others", True, files="rm id_*", start=f"{_MANY} id_ed25519"),
    SetUp("key after too many", False, sshd="MaxAuthTries 4", files="rm id_*", start=f"{_MANY} id_ed25519"),
    SetUp("public half first", True, sshd="MaxAuthTries 2", files=_PUBLIC_ONLY, start=f"{_MANY} id_ed25519"),
    SetUp("keys of files first", True, "IdentityFile ~/.ssh/id_ed25519", "MaxAuthTries 2", start=f"{_MANY} id_ed25519"),
    SetUp("file after too many", False, sshd="MaxAuthTries 4", start=_MANY),
    SetUp("IdentitiesOnly", True, "IdentitiesOnly yes", "MaxAuthTries 2", start=_MANY),
    SetUp(
        "IdentitiesOnly, key only in the agent", False, "IdentitiesOnly yes", files="rm id_*", start="agent id_ed25519"
    ),
    SetUp(
        "IdentityFile with the public key",
        True,
        "IdentityFile ~/.ssh/x.pub\nIdentitiesOnly yes",
        files="mv id_ed25519.pub x.pub; rm id_ed25519",
        start="agent id_ed25519",
    ),
    SetUp("encrypted file", True, files=_ENCRYPTED, start="agent id_ed25519"),
    SetUp(
        "encrypted file without public half", True, files=f"{_ENCRYPTED}; rm id_ed25519.pub", start="agent id_ed25519"
    ),
    SetUp("encrypted file, IdentitiesOnly", True, "IdentitiesOnly yes", files=_ENCRYPTED, start="agent id_ed25519"),
    SetUp(
        "encrypted file without public half, IdentitiesOnly",
        True,
        "IdentitiesOnly yes",
        files=f"{_ENCRYPTED}; rm id_ed25519.pub",
        start="agent id_ed25519",
    ),
    SetUp("key for this host", True, files="rm id_*", start="agent; ssh-add -q -h box $K/id_ed25519"),
    SetUp("key for another host", False, files="rm id_*", start="agent; ssh-add -q -h ham0 $K/id_ed25519"),
    SetUp("key for another user", False, files="rm id_*", start="agent; ssh-add -q -h web@box $K/id_ed25519"),
    SetUp("locked", False, files="rm id_*", start="agent id_ed25519; lock"),
    SetUp("locked, key in file", True, start="agent id_ed25519; lock"),
    SetUp("confirmation refused", False, files="rm id_*", start="agent -c id_ed25519"),
    SetUp(
        "confirmation refused, next key",
        True,
        files="rm id_*; authorize other id_ed25519",
        start="agent -c other; add id_ed25519",
    ),
    SetUp("confirmation refused, key also in file", False, start="agent -c id_ed25519"),
    SetUp(
        "certificate in the agent",
        True,
        sshd="TrustedUserCAKeys $S/ca.pub",
        files="certify_user root +1h; authorize",
        start="agent; ssh-add -q id_ed25519; rm id_*",
    ),
)
def test_keys_in_the_agent(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp(
        "refuses one key",
        True,
        files="rm id_*; authorize other id_ed25519",
        start='agent other id_ed25519; weaken --refuse "$K/other.pub"',
    ),
    SetUp(
        "refuses the only key", False, files="rm id_*", start='agent id_ed25519; weaken --refuse "$K/id_ed25519.pub"'
    ),
    SetUp("refuses, key also in file", False, start='agent id_ed25519; weaken --refuse "$K/id_ed25519.pub"'),
    SetUp("takes 3 s", True, files="rm id_*", start="agent id_ed25519; weaken --delay 3"),
    SetUp("takes 6 s", True, files="rm id_*", start="agent id_ed25519; weaken --delay 6"),
    SetUp("dead", True, start="agent id_ed25519; kill $SSH_AGENT_PID"),
    SetUp("dead, no key in file", False, files="rm id_*", start="agent id_ed25519; kill $SSH_AGENT_PID"),
    SetUp("socket missing", True, start="export SSH_AUTH_SOCK=/nowhere"),
    SetUp("socket is a file", True, start="export SSH_AUTH_SOCK=$W/settings"),
    SetUp("IdentityAgent none", False, "IdentityAgent none", files="rm id_*", start="agent id_ed25519"),
    SetUp(
        "IdentityAgent path",
        True,
        "IdentityAgent $W/agent",
        files="rm id_*",
        start="agent id_ed25519; unset SSH_AUTH_SOCK",
    ),
    SetUp(
        "IdentityAgent before SSH_AUTH_SOCK", False, "IdentityAgent /nowhere", files="rm id_*", start="agent id_ed25519"
    ),
    SetUp(
        "IdentityAgent SSH_AUTH_SOCK", True, "IdentityAgent SSH_AUTH_SOCK", files="rm id_*", start="agent id_ed25519"
    ),
    SetUp(
        "IdentityAgent variable",
        True,
        "IdentityAgent $OWN",
        files="rm id_*",
        start="agent id_ed25519; export OWN=$SSH_AUTH_SOCK; unset SSH_AUTH_SOCK",
    ),
    SetUp(
        "IdentityAgent variable in braces",
        True,
        "IdentityAgent ${OWN}/agent",
        files="rm id_*",
        start="agent id_ed25519; export OWN=$W; unset SSH_AUTH_SOCK",
    ),
    SetUp(
        "IdentityAgent with a token",
        True,
        "IdentityAgent $W/%h",
        files="rm id_*",
        start="agent id_ed25519; ln -s agent $W/box; unset SSH_AUTH_SOCK",
    ),
    SetUp("AddKeysToAgent", True, "AddKeysToAgent yes", start="agent"),
    SetUp("ForwardAgent", True, "ForwardAgent yes", start="agent"),
)
def test_agents(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
