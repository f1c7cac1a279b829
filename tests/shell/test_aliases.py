"""Aliases at the prompt."""

import pytest

from tests.shell.terminal import Terminal


def test_aliases_are_defined_listed_used_and_removed(shell: Terminal) -> None:
    shell.run("alias st='status ham1'; st; st ham2 | grep -c off")
    assert shell.screen.endswith("\nham1 off\n2\nmclu>")
    shell.run("alias")
    assert shell.screen.endswith("\nalias st='status ham1'\nmclu>")
    shell.run("stt")
    assert "mclu: unknown command 'stt'; did you mean 'st'" in shell.screen
    shell.run("help st")
    assert shell.screen.endswith("\nst is an alias of 'status ham1'\nmclu>")
    shell.run("unalias st; st")
    assert "unalias st; st\nmclu: unknown command 'st'" in shell.screen


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("alias st = status", "no such alias 'st'"),
        ("alias =status", "bad alias name ''; write NAME='TEXT'"),
        ("alias 'a b=status'", "bad alias name 'a b'"),
        ("alias -x=status", "unrecognized arguments: -x=status"),
        ("alias st=", "alias st: the text is empty"),
        ('alias st="status \'a"', "alias st: no closing '"),
        ("unalias st", "no such alias 'st'"),
        ("unalias", "the following arguments are required: NAME"),
    ],
)
def test_a_wrong_definition_is_reported(shell: Terminal, line: str, message: str) -> None:
    shell.run(line)
    assert message in shell.screen
