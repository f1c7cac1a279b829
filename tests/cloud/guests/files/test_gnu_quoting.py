"""Names that the real stat quotes in its errors."""

import subprocess
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.files.gnu_quoting import unquote


@pytest.mark.parametrize(
    "name", ["plain", "a b", "it's", 'say "x"', "für", "it's für", "a\nb", "$x", "a\\nb", "'", "ü'\"\n"]
)
def test_a_quoted_name_is_read(name: str, tmp_path: Path) -> None:
    missing = str(tmp_path / name)
    done = subprocess.run(["stat", "--", missing], capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
    quoted = done.stderr.removeprefix("stat: cannot statx ").rpartition(": ")[0]
    assert unquote(quoted) == missing


def test_a_name_without_quotes_is_itself() -> None:
    assert unquote("/a/b c") == "/a/b c"
