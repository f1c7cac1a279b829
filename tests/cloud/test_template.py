import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.template import find_templates, read_template, template_directories, template_name
from mclu_shell.errors import TemplateError

Write = Callable[..., Path]

GOOD = {
    "probe": "echo hello",
    "base-image": "echo fedora-40",
    "minimum-memory": "echo 1G",
    "recommended-memory": "echo 2G",
    "minimum-size": "echo 10G",
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a template that answers parameters with shell commands; what it does not know is exit status 2."""

    def make(name: str = "x", directory: Path = tmp_path, **answers: str) -> Path:
        known = GOOD | {parameter.replace("_", "-"): command for parameter, command in answers.items()}
        cases = "".join(f"{parameter}) {command};;\n" for parameter, command in known.items() if command)
        directory.mkdir(exist_ok=True)
        path = directory / f"{name}.template"
        path.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}*) exit 2;;\nesac\n')
        path.chmod(0o755)
        return path

    return make


def fault(path: Path) -> str:
    with pytest.raises(TemplateError) as caught:
        read_template(path)
    assert caught.value.place == template_name(path)
    return caught.value.fact


def test_it_reports_what_it_builds_and_what_that_needs(write: Write) -> None:
    template = read_template(write())
    assert (template.name, template.base_image) == ("x", "fedora-40")
    needs = template.minimum_memory_bytes, template.recommended_memory_bytes, template.minimum_size_bytes
    assert needs == (1 << 30, 2 << 30, 10 << 30)


def test_what_it_may_leave_out_is_unknown(write: Write) -> None:
    template = read_template(write(minimum_memory="", recommended_memory="", minimum_size=""))
    needs = template.minimum_memory_bytes, template.recommended_memory_bytes, template.minimum_size_bytes
    assert needs == (None, None, None)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"probe": ""}, "its 'probe' does not say hello"),
        ({"probe": "echo hi"}, "its 'probe' does not say hello"),
        ({"probe": "printf hello"}, "its 'probe' does not say hello"),
        ({"probe": "echo hello; exit 1"}, "probe: exit status 1"),
        ({"probe": "kill -9 $$"}, "probe: killed by SIGKILL"),
        ({"base_image": ""}, "it does not know 'base-image'"),
        ({"base_image": ":"}, "base-image: not the name of an image: ''"),
        ({"base_image": "echo a; echo b"}, "base-image: not the name of an image: 'a\\nb'"),
        ({"base_image": "printf 'a\\033[31m'"}, "base-image: not the name of an image: 'a\\x1b[31m'"),
        ({"base_image": "echo no image >&2; exit 3"}, "base-image: exit status 3 ('no image')"),
        ({"minimum_memory": "echo lots"}, "minimum-memory: not a size, such as 512M or 4G: 'lots'"),
        ({"minimum_size": "echo"}, "minimum-size: not a size, such as 512M or 4G: ''"),
        ({"recommended_memory": "echo 0"}, "recommended-memory: not a size"),
        ({"recommended_memory": "printf '\\377'"}, "recommended-memory: not a size"),
        ({"minimum_memory": "yes 9 | head -c 9999 | tr -d '\\n'"}, "minimum-memory: not a size"),
        ({"disk_bus": "echo floppy"}, "disk-bus: not one of ide, virtio, virtio-scsi: 'floppy'"),
        ({"network_model": "echo none"}, "network-model: not one of e1000, virtio: 'none'"),
    ],
)
def test_how_it_breaks_its_contract_is_told(write: Write, answers: dict[str, str], told: str) -> None:
    assert fault(write(**answers)).startswith(told)


def test_one_that_is_not_executable_says_how_to_make_it_so(write: Write) -> None:
    path = write()
    path.chmod(0o644)
    with pytest.raises(TemplateError) as caught:
        read_template(path)
    assert str(caught.value) == f"x: it is not executable; chmod +x {path}"


def test_one_that_is_no_program_says_why(tmp_path: Path) -> None:
    path = tmp_path / "x.template"
    path.write_text("#!/nosuch/interpreter\n")
    path.chmod(0o755)
    assert fault(path) == "its first line names /nosuch/interpreter, which cannot be run here"
    path.write_text("no program\n")
    assert fault(path) == "it is no script: its first line does not begin with #!"


@pytest.mark.parametrize("hang", ["sleep 60", "sleep 60; :", "sleep 60 & wait", "sleep 60 & echo hello"])
def test_one_that_hangs_is_not_awaited_nor_is_what_it_started(
    write: Write, monkeypatch: pytest.MonkeyPatch, hang: str
) -> None:
    monkeypatch.setattr("mclu_shell.cloud.query._TIME_LIMIT_S", 0.3)
    started = time.monotonic()
    assert fault(write(probe=hang)) == "probe: no answer in 0.3 s"
    assert time.monotonic() - started < 5


def test_it_cannot_read_what_the_user_types(write: Write) -> None:
    assert read_template(write(base_image="echo read-$(cat)")).base_image == "read-"


class TestWhereTheyAreFound:
    def test_the_earlier_directory_wins_and_names_are_in_order(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        kept = [write("b", first), write("a", second)]
        write("b", second)
        (first / "readme.txt").touch()
        monkeypatch.setenv("MCLU_PATH", f"{first}:/nosuch:{second}")
        assert find_templates() == [kept[1], kept[0]]
        assert [template_name(path) for path in find_templates()] == ["a", "b"]

    def test_a_directory_may_be_at_home(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MCLU_PATH", "~/mine")
        written = write("b", tmp_path / "mine")
        assert find_templates() == [written]

    def test_without_the_variable_they_are_those_that_came_with_mclu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MCLU_PATH")
        (directory,) = template_directories()
        assert directory.is_dir()
