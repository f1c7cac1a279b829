"""Proxies, jump hosts, shared connections and the user's own sessions: mclu logs in where ssh does."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

# The jump host cannot resolve the name of the node.
_JUMP = "Host box\n  HostName $ADDRESS\n  HostKeyAlias box\n  ProxyJump "
_TWO_HOPS = """\
Host box
  HostName localhost
  Port 2222
  ProxyJump ham0,hop
Host hop
  HostName $ADDRESS
Host hop box
  HostKeyAlias box
"""
_PROXY = "ProxyCommand busybox nc %h %p"
_SLOW = 'ProxyCommand sh -c "sleep {}; exec busybox nc %h %p"'
_FDPASS = "ProxyCommand $PYTHON $HERE/pass_connection.py %h %p\nProxyUseFdpass yes"
_OWN_MASTER = "ControlPath $W/%C"
_OPEN_MASTER = "ssh -fNM box"
# The user's connection is still open, and without forwards of mclu.
_IS_INTACT = 'ssh -O check box && ! ss -xlH | grep "$W/.*fwd"'


@table(
    SetUp("ProxyCommand", True, _PROXY),
    SetUp("ProxyCommand none", True, "ProxyCommand none"),
    SetUp("ProxyCommand fails", False, "ProxyCommand false"),
    SetUp("ProxyCommand missing", False, "ProxyCommand /nowhere"),
    SetUp("ProxyCommand takes 5 s", True, _SLOW.format(5)),
    SetUp("ProxyCommand writes messages", True, 'ProxyCommand sh -c "echo Hello >&2; exec busybox nc %h %p"'),
    SetUp("ProxyCommand, key unknown", False, _PROXY, files="rm known_hosts"),
    SetUp("ProxyCommand, refused", False, f"{_PROXY}\nUser other"),
    SetUp("ProxyCommand to nothing", False, "ProxyCommand busybox nc %h 2222"),
    SetUp("ProxyCommand with a master's token", True, 'ProxyCommand sh -c "test %r = root && exec busybox nc %h %p"'),
    SetUp("ProxyCommand for bash", True, f"{_PROXY} 2> >(cat >/dev/null)", start="export SHELL=/bin/bash"),
    SetUp("ProxyCommand for fish", True, f"{_PROXY} (true)", start="export SHELL=/usr/bin/fish"),
    SetUp("ProxyCommand, shell missing", False, _PROXY, start="export SHELL=/nowhere"),
    SetUp("ProxyUseFdpass", True, _FDPASS),
    SetUp("ProxyJump", True, f"{_JUMP}ham0"),
    SetUp("ProxyJump with user and port", True, f"{_JUMP}root@ham0:22"),
    SetUp("ProxyJump URI", True, f"{_JUMP}ssh://root@ham0:22"),
    SetUp("ProxyJump none", True, "ProxyJump none\nProxyJump ham9"),
    SetUp("ProxyJump by alias", True, f"{_JUMP}gate\nHost gate\n  HostName ham0\n  HostKeyAlias ham0"),
    SetUp(
        "ProxyJump, two hops",
        True,
        _TWO_HOPS,
        "Port 22\nPort 2222\nListenAddress 127.0.0.1:2222",
    ),
    SetUp(
        "ProxyJump of a jump host",
        True,
        f"{_JUMP}hop\nHost hop\n  HostName $ADDRESS\n  HostKeyAlias box\n  ProxyJump ham0",
    ),
    SetUp("ProxyJump, wrong user", False, f"{_JUMP}other@ham0"),
    SetUp("ProxyJump, key unknown", False, f"{_JUMP}ham0", files="sed -i /ham0/d known_hosts"),
    SetUp("ProxyJump, key of the node unknown", False, f"{_JUMP}ham0", files="sed -i /box/d known_hosts"),
    SetUp("ProxyJump without an address", False, f"{_JUMP}no-such-host"),
    SetUp("ProxyJump, refused on the node", False, f"{_JUMP}ham0\n  User other"),
    SetUp("ProxyJump, nothing listens", False, f"{_JUMP}ham0\n  Port 2222"),
    SetUp("ProxyJump, key of the agent", True, f"{_JUMP}ham0", files="rm id_*", start="agent id_ed25519"),
    SetUp(
        "ProxyCommand ssh -W",
        True,
        "Host box\n  HostName $ADDRESS\n  HostKeyAlias box\n  ProxyCommand ssh -W %h:%p ham0",
    ),
)
def test_proxies(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("ControlMaster auto", True, f"ControlMaster auto\n{_OWN_MASTER}"),
    SetUp("ControlMaster auto, ControlPersist", True, f"ControlMaster auto\nControlPersist 1\n{_OWN_MASTER}"),
    SetUp("ControlMaster auto, refused", False, f"ControlMaster auto\n{_OWN_MASTER}\nUser other"),
    SetUp("ControlPath in a missing directory", True, "ControlPath ~/nowhere/%C"),
    SetUp("open master", True, _OWN_MASTER, start=_OPEN_MASTER, after=_IS_INTACT),
    SetUp(
        "open master, key no longer accepted",
        True,
        _OWN_MASTER,
        start=f'{_OPEN_MASTER}; rm "$S/authorized_keys"',
        after=_IS_INTACT,
    ),
    SetUp(
        "open master, host key no longer known",
        True,
        _OWN_MASTER,
        start=f'{_OPEN_MASTER}; rm known_hosts "$W/home-mclu/.ssh/known_hosts"',
    ),
    SetUp("open master of another user", False, f"{_OWN_MASTER}\nUser other", start="ssh -fNM -l root box"),
    SetUp(
        "ended master, key no longer accepted",
        False,
        _OWN_MASTER,
        start=f'{_OPEN_MASTER}; ssh -O exit box; rm "$S/authorized_keys"',
    ),
    SetUp("socket of a killed master", True, _OWN_MASTER, start=f'{_OPEN_MASTER} & sleep 1; pkill -KILL -f "ssh[:]"'),
    SetUp(
        "open master, ProxyCommand fails now",
        True,
        f"{_OWN_MASTER}\nProxyCommand sh -c 'test -e $W/open && exec busybox nc %h %p'",
        start=f"touch $W/open; {_OPEN_MASTER}; rm $W/open",
    ),
)
def test_shared_connections(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)


@table(
    SetUp("RemoteCommand", True, "RemoteCommand true", command=""),
    SetUp("RemoteCommand that fails", True, "RemoteCommand exit 3", command="", runs=False),
    SetUp("RequestTTY force", True, "RequestTTY force"),
    SetUp("LocalForward", True, "LocalForward 127.0.0.1:3$NUMBER localhost:22"),
    SetUp(
        "LocalForward in use",
        True,
        "LocalForward 3$NUMBER localhost:22",
        start="listen_on 3$NUMBER",
    ),
    SetUp("RemoteForward refused", True, "RemoteForward 9 localhost:9", "AllowTcpForwarding local"),
    SetUp("DynamicForward", True, "DynamicForward 4$NUMBER"),
    SetUp("Tunnel", True, "Tunnel yes"),
    SetUp("ForkAfterAuthentication", True, "ForkAfterAuthentication yes"),
    SetUp("SessionType none", True, "SessionType none", command="", options="-f"),
    SetUp("StdinNull", True, "StdinNull yes"),
    SetUp("SetEnv and SendEnv", True, "SetEnv A=b\nSendEnv HOME"),
    SetUp("PermitLocalCommand", True, "PermitLocalCommand yes\nLocalCommand touch $W/local-command"),
    SetUp("ForwardX11", True, "ForwardX11 yes"),
    SetUp("EscapeChar", True, "EscapeChar none"),
)
def test_own_sessions(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
