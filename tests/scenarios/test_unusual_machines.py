"""Unusual users and environments: mclu works, or names the path and the remedy."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mclu import MCLU, Answer

Run = Callable[..., Answer]
# A user without a passwd entry, with the permissions of the user who runs the tests.
UNKNOWN_USER = ("unshare", "--user", "--map-user=4711")
# Root may look into any directory, but not without capabilities.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


@pytest.fixture
def unknown_user() -> tuple[str, ...]:
    """Return words that run a command as a user without a passwd entry."""
    if subprocess.run([*UNKNOWN_USER, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces are not permitted")
    return UNKNOWN_USER


def run(*words: str | Path, **options: object) -> Answer:
    """Run mclu, with words before it such as `env -u HOME`."""
    done = subprocess.run(  # type: ignore[call-overload]
        list(map(str, words)),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("line", ["--demo status", "--demo boot empty new", "list --templates", "--complete zsh st"])
@pytest.mark.parametrize("home", ["-uHOME", "HOME=", "HOME=relative", "HOME=/nosuch"])
def test_a_user_without_a_passwd_entry(unknown_user: tuple[str, ...], home: str, line: str, tmp_path: Path) -> None:
    answer = run(*unknown_user, "env", home, "MCLU_PATH=", MCLU, *line.split(), cwd=tmp_path)
    assert (answer.status, answer.err) == (0, "")
    assert list(tmp_path.iterdir()) == [tmp_path / "no-templates"]


def test_a_user_without_a_passwd_entry_and_home_directory_is_told_what_to_set(unknown_user: tuple[str, ...]) -> None:
    answer = run(*unknown_user, "env", "-uHOME", MCLU, "--install-completion=bash")
    assert answer == Answer(1, "", "mclu: 4711: cannot find your home directory; set HOME to a directory\n")


def test_ssh_refuses_a_user_without_a_passwd_entry(unknown_user: tuple[str, ...], tmp_path: Path) -> None:
    config = tmp_path / "mclu.conf"
    config.write_text("[nodes]\nham0 address=127.0.0.1 port=1\n")
    answer = run(*unknown_user, "env", "-uHOME", MCLU, "-f", config, "status")
    assert answer.err == (
        "mclu: ham0: ssh: No user exists for uid 4711; "
        "add the user to /etc/passwd: ssh works only for users with an entry\n"
    )


def test_a_configuration_without_permission_is_not_replaced_by_another(
    unknown_user: tuple[str, ...], tmp_path: Path
) -> None:
    directory = tmp_path / ".config/mclu"
    directory.mkdir(parents=True)
    (directory / "mclu.conf").write_text("[nodes]\nham0 address=127.0.0.1\n")
    directory.chmod(0)
    answer = run(*unknown_user, *POWERLESS, "env", f"HOME={tmp_path}", MCLU, "status")
    directory.chmod(0o700)
    assert answer == Answer(
        2,
        "",
        f"mclu: {directory}/mclu.conf: cannot read: Permission denied; "
        "check the permissions of the file and of the directories above it\n",
    )


def test_templates_in_a_directory_without_permission_are_reported(
    unknown_user: tuple[str, ...], tmp_path: Path
) -> None:
    directory = tmp_path / "mine"
    directory.mkdir(mode=0)
    words = (*unknown_user, *POWERLESS, "env", f"MCLU_PATH={directory}", str(MCLU), "--demo", "list", "--templates")
    message = f"mclu: {directory}: cannot read the directory: Permission denied; correct MCLU_PATH\n"
    assert run(*words) == Answer(0, "", message)


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("--demo list --active", 0, ""),
        ("--demo boot empty new", 0, ""),
        ("template check x.template", 1, "mclu: x.template: cannot find the working directory: No such file or "),
        ("x.mclu", 2, "mclu: x.mclu: cannot read: No such file or directory\n"),
        ("-f mclu.conf status", 2, "mclu: mclu.conf: no configuration; "),
    ],
)
def test_the_working_directory_was_deleted(tmp_path: Path, line: str, status: int, message: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    answer = run("sh", "-c", f'rmdir {gone}; unset MCLU_PATH; exec "$0" "$@"', MCLU, *line.split(), cwd=gone)
    assert answer.status == status
    assert answer.err.startswith(message)


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"])
@pytest.mark.parametrize("value", ["", "relative", "/nosuch", "/dev/null", "/" + "x" * 300])
def test_xdg_variables_may_have_any_value(tmp_path: Path, variable: str, value: str) -> None:
    answer = run("env", f"{variable}={value}", MCLU, "--demo", "status", "ham1", cwd=tmp_path)
    assert answer == Answer(0, "ham1 off\n", "")
    assert not (tmp_path / "relative").exists()


@pytest.mark.parametrize("line", ["list ü", "boot empty ü", "template show ü", "ü", "-o json status ü", "./ü.mclu"])
def test_arguments_that_the_locale_cannot_express_are_errors(line: str) -> None:
    ascii_only = ("LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")
    for word in (line, line.replace("ü", "\udcff")):
        answer = run("env", *ascii_only, MCLU, "--demo", *word.split())
        assert answer.status in (1, 2)
        assert answer.err.startswith("mclu: ")
        assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("limit", range(5, 17))
def test_an_exhausted_limit_of_open_files_is_reported(tmp_path: Path, limit: int) -> None:
    config = tmp_path / "mclu.conf"
    config.write_text("[nodes]\n" + "".join(f"ham{i} address=127.0.0.1 port=1\n" for i in range(30)))
    answer = run("sh", "-c", f'ulimit -n {limit}; exec "$0" "$@"', MCLU, "-f", config, "status")
    assert answer.status == 1
    assert "oo many open files" in answer.err or "connection refused" in answer.err


def test_a_missing_library_is_reported(tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise ImportError('libvirt-qemu.so.0: cannot open shared object file')\n")
    answer = run("env", f"PYTHONPATH={tmp_path}", sys.executable, MCLU, "--demo", "list", "--active")
    assert answer.status == 1
    assert "cannot load a library: " in answer.err
    assert "install mclu again" in answer.err
