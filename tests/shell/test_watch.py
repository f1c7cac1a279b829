"""`--watch` on a terminal: drawn in place, and ended by a key or a signal."""

from tests.shell.terminal import CTRL_C, ENTER, Terminal

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
