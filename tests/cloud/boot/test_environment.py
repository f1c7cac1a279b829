import subprocess

import pytest

from mclu_shell.cloud.boot.environment import env_command


@pytest.mark.parametrize("given", [{}, {"size": "1"}, {"size": "1", "timezone": "Asia/Tokyo"}])
def test_variables_of_the_user_do_not_reach_a_build(given: dict[str, str]) -> None:
    surroundings = {"PATH": "/usr/bin:/bin", "size": "7777", "timezone": "Nowhere", "LANG": "C"}
    command = [*env_command({"name": "web", **given}), "env"]
    lines = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout.splitlines()
    assert sorted(lines) == sorted(
        f"{name}={value}" for name, value in {"PATH": "/usr/bin:/bin", "LANG": "C", "name": "web", **given}.items()
    )
