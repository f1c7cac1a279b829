"""What only a person can tell: asked at the prompt, one question at a time, and by nothing that runs behind it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import mclu
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, CTRL_D, CTRL_L, ENTER, Terminal

ON = r" on\n  total: \d+pcpus \S+\n  free: \S+\n"
HOST_KEY = r"Is that its key\? Say yes, no, or what its fingerprint must be:\Z"


@pytest.fixture
def lab(lab4: RealLab, ssh_files: Path) -> RealLab:
    """ham0 and ham1 are on; the operator's .ssh is put back."""
    lab4.power(on=["ham0", "ham1"])
    return lab4


def ask(shell: Terminal, line: str, question: str) -> None:
    """Type a line on a clear screen, and read until a question is asked."""
    shell.type(CTRL_L)
    shell.read_until(lambda screen: screen == "mclu>")
    shell.type(line + ENTER)
    shell.expect(question)


def say(shell: Terminal, word: str, told: str) -> None:
    """Answer it, and read until the next prompt."""
    shell.type(word + ENTER)
    shell.expect(rf"{told}mclu>\Z")


def test_a_host_key_is_asked_for_where_somebody_can_tell(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    lab.forget("ham1")
    shown = lab.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub", node="ham1").stdout.split()[1]
    shell = shells()
    # What connects behind the prompt asks nothing.
    shell.expect_toolbar("ham1: ssh: host key not known")
    assert "Is that its key?" not in shell.screen
    ask(shell, "status", HOST_KEY)
    assert f"ham1 shows a host key that is not known:\nED25519 {shown}\n" in shell.screen
    say(shell, "no", "ham2 off\nham3 off\nmclu: ham1: ssh: host key not known(.|\n)*")
    assert "ham0 on\n" in shell.screen
    ask(shell, "status ham1", HOST_KEY)
    shell.type(CTRL_C)
    shell.expect(r"^\n?mclu>\Z")
    assert mclu(lab, "status", "ham1").status == 1
    ask(shell, "status ham1", HOST_KEY)
    shell.type("y" + ENTER)
    shell.expect(rf"^That is neither yes, nor no, nor its fingerprint\.\n(.|\n)*{HOST_KEY}")
    say(shell, shown, f"ham1{ON}")
    shell.expect_toolbar("2 on  2 off")
    assert re.fullmatch(f"ham1{ON}", mclu(lab, "status", "ham1").out)


def test_a_node_that_was_woken_may_need_an_answer(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    lab.off("ham1")
    lab.forget("ham1")
    shell = shells()
    shell.expect_toolbar("3 off")
    shell.type("on ham1 --wait" + ENTER)
    shell.expect(HOST_KEY, seconds=60)
    say(shell, "yes", "ham1 on\n")


def test_a_passphrase_opens_all_nodes_and_may_be_mistyped(
    lab: RealLab, shells: Callable[[], Terminal], ssh_files: Path
) -> None:
    key = ssh_files / "id_ed25519"
    assert lab.run("ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", str(key)).returncode == 0
    shell = shells()
    # What connects behind the prompt asks nothing. All that is wrong would be too long for the line below it.
    shell.expect_toolbar("2 failing: ham0, ham1")
    question = f"Passphrase for the key {key}:"
    assert question not in shell.screen
    shell.type("status ham0 ham1" + ENTER)
    shell.read_until(lambda screen: screen.endswith(question))
    shell.type(CTRL_D)
    shell.expect(r"^mclu: ham1: ssh: permission denied(.|\n)*^mclu>\Z")
    assert f"{question}\nham0 on, ssh: permission denied" in shell.screen
    shell.type("status ham0 ham1" + ENTER)
    shell.read_until(lambda screen: screen.endswith(question))
    shell.type("wrong" + ENTER)
    shell.read_until(lambda screen: screen.endswith(f"{question}\nThat was wrong.\n{question}"))
    say(shell, "open sesame", f"ham0{ON}ham1{ON}")
    assert "sesame" not in shell.screen
    shell.expect_toolbar("2 on  2 off")
    # It is remembered as long as the shell is there, and nowhere else.
    assert re.fullmatch(f"ham1{ON}", shell.answer("status ham1"))
    told = mclu(lab, "--verbose", "status", "ham1")
    assert "sesame" not in told.err
