"""Commands that work in the interactive shell only."""

from collections.abc import Callable

import pytest

from tests.support.mclu import Answer, InProcess


@pytest.mark.parametrize("line", ["alias st=status", "alias", "unalias st", "history", "history 5"])
def test_commands_of_the_prompt_fail_outside_of_it(demo: InProcess, line: str) -> None:
    message = f"{line.split()[0]}: only available in the interactive shell; see "
    answer = demo(line)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith(f"mclu: {message}")
    answer = demo.script(f"on ham1\n{line}")
    assert answer.err.startswith(f"mclu: x.mclu:2: {message}")
    assert demo.on == ["ham0"]
    assert demo(f"{line.split()[0]} --help").status == 0


def test_only_the_interactive_shell_reads_the_start_up_file(mclu: Callable[..., Answer], tmp_path: object) -> None:
    assert mclu("--demo", "-c", "!mkdir -p ~/.config/mclu; echo 'status ham1' > ~/.config/mclu/mclurc").status == 0
    assert mclu("--demo", "-c", "status ham2") == Answer(0, "ham2 off\n", "")
    assert mclu("--demo", "status", "ham2") == Answer(0, "ham2 off\n", "")
