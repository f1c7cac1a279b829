"""Login shells and forced commands: mclu logs in where ssh does, and runs commands where ssh does."""

from collections.abc import Callable

from tests.lab.logins.setups import Outcome, SetUp, table

_RAN, _REFUSED = "poweroff failed: ", "cannot run commands: "


def _shell(
    name: str, shell: str, lines: str = "", *, runs: bool = True, sshd: str = "", says: str = ""
) -> tuple[SetUp, SetUp]:
    """Return set-ups for the status, and for a command: that an ordinary user cannot power off shows that it ran."""
    quoted = lines.replace("'", "'\\''")
    files = f"user {shell} '{quoted}'"
    status = SetUp(name, True, "User u$NUMBER", sshd, files, runs=runs)
    reason = says or (_RAN if runs else _REFUSED)
    return status, SetUp(f"{name}, command", True, "User u$NUMBER", sshd, files, runs=runs, mclu="off", says=reason)


@table(
    *_shell("bash", "/bin/bash"),
    *_shell("dash", "/bin/dash"),
    *_shell("prints", "/bin/bash", "echo hello; echo 'more text'"),
    *_shell("prints to stderr", "/bin/bash", "echo hello >&2"),
    *_shell("prints without end of line", "/bin/bash", "printf hello"),
    *_shell("prints a lot", "/bin/bash", "seq 100000"),
    *_shell("exit in .bashrc", "/bin/bash", "exit 0", runs=False),
    *_shell("exit 3 in .bashrc", "/bin/bash", "exit 3", runs=False),
    *_shell("exec fish in .bashrc", "/bin/bash", "exec fish -c true", runs=False),
    # It reads the command, which mclu sends there.
    *_shell("reads its input in .bashrc", "/bin/bash", "cat >/dev/null", says=_REFUSED),
    *_shell("takes 5 s", "/bin/bash", "sleep 5"),
    *_shell("fish", "/usr/bin/fish"),
    *_shell("tcsh", "/bin/tcsh"),
    *_shell("zsh", "/bin/zsh"),
    *_shell("rbash", "/bin/rbash"),
    *_shell("nologin", "/usr/sbin/nologin", runs=False, says="This account is currently not available"),
    *_shell("false", "/bin/false", runs=False),
    *_shell("ForceCommand", "/bin/bash", sshd="ForceCommand echo no; exit 1", runs=False, says="no"),
    *_shell("ForceCommand sftp", "/bin/bash", sshd="ForceCommand internal-sftp", runs=False),
    *_shell("MaxSessions 0", "/bin/bash", sshd="MaxSessions 0", runs=False, says="sshd opens no session"),
    *_shell("MaxSessions 1", "/bin/bash", sshd="MaxSessions 1"),
    SetUp("no home directory", True, "User u$NUMBER", files='user /bin/bash; rm -r "$S/home"'),
    SetUp("missing shell", False, "User u$NUMBER", files="user /nowhere"),
)
def test_shells(log_in: Callable[[SetUp], Outcome], setup: SetUp) -> None:
    log_in(setup).check(setup)
