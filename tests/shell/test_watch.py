"""`--watch` on a terminal: drawn in place, and ended by a key or a signal."""

import os
import signal

from tests.shell.terminal import CTRL_C, ENTER, Terminal
from tests.support.mclu import MCLU

GUESTS = """\
GUEST     STATE    MEMORY  VCPUS  ADDRESS  TEMPLATE
ham0:db   running      4G      2
ham0:web  running      2G      2"""


def test_a_watch_ends_with_q_and_leaves_the_last_answer(shell: Terminal) -> None:
    shell.type("list --active --watch" + ENTER)
    shell.expect(r"^q quits\Z")
    assert shell.screen.endswith(f"{GUESTS}\nq quits")
    shell.type("xq")
    shell.expect_prompt()
    assert shell.screen.endswith(f"mclu> list --active --watch\n{GUESTS}\nmclu>")
    # The keys that were typed there are no input of the prompt.
    assert shell.answer("status ham1") == "ham1 off\n"


def test_ctrl_c_ends_a_watch_and_the_commands_after_it(shell: Terminal) -> None:
    shell.type("status --watch; list --templates" + ENTER)
    shell.expect(r"^ham3 off\nq quits\Z")
    assert "  used:  2guests 4vcpus 6G        ████░░░░░░░░░░░░░░░░  19%" in shell.screen
    shell.type(CTRL_C)
    shell.expect_prompt()
    assert shell.screen.endswith("ham3 off\n\nmclu>")


def test_a_watch_is_redrawn_in_place_at_each_width(shell: Terminal) -> None:
    shell.type("list --active --watch 0.2" + ENTER)
    shell.expect(r"^q quits\Z")
    shell.resize(40)
    shell.expect(r"\AGUEST .*…\nham0.*\nham0.*\nq quits\Z")
    shell.resize(100)
    shell.read_until(lambda screen: screen == f"{GUESTS}\nq quits")
    shell.type("q")
    shell.expect_prompt()


def test_ctrl_z_and_kill_leave_a_terminal_with_cursor_and_echo() -> None:
    program = Terminal("--norc", "--noprofile", "-i", program="/bin/bash")
    program.type(f"PS1='bash> '; {MCLU} --demo list --active --watch" + ENTER)
    program.expect(r"^q quits\Z")
    program.type("\x1a")
    program.expect(r"Stopped(?s:.*)^bash>\Z")
    program.type("stty | grep -c -e -echo; fg" + ENTER)
    program.expect(r"^0\n(?s:.*)^q quits\Z")
    assert f"{GUESTS}\nq quits" in program.screen
    os.kill(program.children[0], signal.SIGKILL)
    program.expect(r"Killed(?s:.*)^bash>")
    assert program.has_cursor
    program.type("stty | grep -c -e -echo; echo end" + ENTER)
    program.expect(r"^0\nend\n")
    program.close()
