"""Prompts for host keys and passphrases in the interactive shell, one at a time and never from the background."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import mclu, wait_until
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, CTRL_D, CTRL_L, ENTER, Terminal

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("ssh_files")]

ON = r" on\n  total: \d+pcpus \S+\n  free: \S+\n"
HOST_KEY = r"\(yes/no/\[fingerprint\]\)\?\Z"


def run_to_prompt(shell: Terminal, line: str, prompt: str) -> None:
    """Type a line on a clear screen, and read until mclu prompts."""
    shell.type(CTRL_L)
    shell.read_until(lambda screen: screen == "mclu>")
    shell.type(line + ENTER)
    shell.expect(prompt)


def answer(shell: Terminal, word: str, output: str) -> None:
    """Answer the prompt, and read until the shell's next prompt."""
    shell.type(word + ENTER)
    shell.expect(rf"{output}mclu>\Z")


def test_a_shell_prompts_for_an_unknown_host_key(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    lab.forget("ham1")
    shown = lab.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub", node="ham1").stdout.split()[1]
    shell = shells()
    # Background connections do not prompt.
    shell.expect_toolbar("ham1: ssh: Host key verification failed")
    assert "authenticity" not in shell.screen
    run_to_prompt(shell, "status", HOST_KEY)
    assert re.search(rf"The authenticity of host 'ham1 .*\nED25519 key fingerprint is {re.escape(shown)}", shell.screen)
    answer(shell, "no", "ham2 off\nham3 off\nmclu: ham1: ssh: Host key verification failed(.|\n)*")
    assert "ham0 on\n" in shell.screen
    run_to_prompt(shell, "status ham1", HOST_KEY)
    shell.type(CTRL_C)
    shell.expect(r"^\n?mclu>\Z")
    assert mclu(lab, "status", "ham1").status == 1
    run_to_prompt(shell, "status ham1", HOST_KEY)
    shell.type("y" + ENTER)
    shell.expect(r"Please type 'yes', 'no' or the fingerprint:\Z")
    answer(shell, shown, f"ham1{ON}")
    shell.expect_toolbar("2 on  2 off")
    assert re.fullmatch(f"ham1{ON}", mclu(lab, "status", "ham1").out)


def test_on_with_wait_prompts_for_the_host_key_of_the_woken_node(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    lab.off("ham1")
    lab.forget("ham1")
    shell = shells()
    shell.expect_toolbar("3 off")
    shell.type("on ham1 --wait" + ENTER)
    shell.expect(HOST_KEY, seconds=60)
    answer(shell, "yes", "ham1 on\n")


def test_a_shell_prompts_once_for_a_passphrase_and_repeats_after_a_wrong_one(
    lab: RealLab, shells: Callable[[], Terminal], ssh_files: Path
) -> None:
    key = ssh_files / "id_ed25519"
    assert lab.run("ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", str(key)).returncode == 0
    shell = shells()
    # Background connections do not prompt. The toolbar has no room for both faults in full.
    shell.expect_toolbar("2 failing: ham0, ham1")
    prompt = f"Enter passphrase for key '{key}':"
    assert prompt not in shell.screen
    shell.type("status ham0 ham1" + ENTER)
    shell.read_until(lambda screen: screen.endswith(prompt))
    shell.type(CTRL_D)
    shell.expect(r"^mclu: ham1: ssh: root@ham1: Permission denied(.|\n)*^mclu>\Z")
    # The question is not repeated for the second node.
    assert shell.screen.count(prompt) == 1
    shell.type("status ham0 ham1" + ENTER)
    shell.read_until(lambda screen: screen.endswith(prompt))
    shell.type("wrong" + ENTER)
    shell.read_until(lambda screen: screen.endswith(f"{prompt}\n{prompt}"))
    answer(shell, "open sesame", f"ham0{ON}ham1{ON}")
    assert "sesame" not in shell.screen
    shell.expect_toolbar("2 on  2 off")
    # The shell caches the passphrase in memory only.
    assert re.fullmatch(f"ham1{ON}", shell.answer("status ham1"))
    result = mclu(lab, "--verbose", "status", "ham1")
    assert "sesame" not in result.err


# Of "open sesame", for crypt(3).
_HASH = "$6$mclu$gCmcC8TAx7SMJ00vkwpQLbT4Iknz2x.NIlwCg9.JHNSRwZBTI3xjMapUYIFM6IFlmBLy99JmKigGrQkhvnZiz."
_TWO_FACTORS = f"""
sed 's|^root:[^:]*|root:{_HASH}|' /etc/shadow >/run/shadow && mount --bind /run/shadow /etc/shadow
/usr/sbin/sshd -p 2222 -E /run/sshd2.log -o PidFile=/run/sshd2.pid -o UsePAM=yes -o PermitRootLogin=yes \
    -o KbdInteractiveAuthentication=yes -o AuthenticationMethods=publickey,keyboard-interactive
"""


def test_a_shell_prompts_for_a_second_factor(lab: RealLab, shells: Callable[[], Terminal], ssh_files: Path) -> None:
    assert lab.run("sh", "-c", _TWO_FACTORS, node="ham1").returncode == 0
    wait_until(lambda: "Server listening" in lab.run("cat", "/run/sshd2.log", node="ham1").stdout)
    (ssh_files / "config").write_text("Host ham1\n  Port 2222\n")
    result = mclu(lab, "status", "ham1")
    result.assert_error("ham1", "Permission denied (keyboard-interactive)", "interactive shell")
    shell = shells()
    run_to_prompt(shell, "status ham1", r"\(root@ham1\) Password:\Z")
    answer(shell, "open sesame", f"ham1{ON}")
    assert "sesame" not in shell.screen
    lab.off("ham1")
