"""Shell commands that lock a node, so that two commands of mclu do not mistake each other's checks for real uses.

Scripts that read disk files hold the lock together. The one that deletes files holds it alone: it keeps a file that
another process has open. flock(2) on a directory leaves nothing behind. The lock ends with the shell.
"""

# The lock is no protection: after this time, or without flock(1), a script runs without it.
_WAIT_S = 10
_LOCK = "[ ! -r / ] || exec 9</; flock {} -w {} 9 2>/dev/null\n"

READ = _LOCK.format("-s", _WAIT_S)
DELETE = _LOCK.format("-x", _WAIT_S)
