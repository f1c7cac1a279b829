import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.templates.directories import template_directories
from mclu_shell.cloud.templates.template import (
    custom_xml,
    find_template,
    find_templates,
    read_template,
    read_template_cached,
    template_name,
)
from mclu_shell.errors import NotFound, TemplateError
from tests.support.templates import write_template

Write = Callable[..., Path]

SIZES = {"minimum_memory": "echo 1G", "recommended_memory": "echo 2G", "minimum_size": "echo 10G"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a template with a shell command per parameter."""

    def make(name: str = "x", directory: Path = tmp_path, **answers: str) -> Path:
        directory.mkdir(exist_ok=True)
        return write_template(directory, name, **(SIZES | answers))

    return make


def fault(path: Path) -> str:
    with pytest.raises(TemplateError) as caught:
        read_template(path)
    assert caught.value.place == template_name(path)
    return caught.value.fact


def test_settings_are_read(write: Write) -> None:
    template = read_template(write())
    assert (template.name, template.base_image) == ("x", "fedora-40")
    needs = template.minimum_memory_bytes, template.recommended_memory_bytes, template.minimum_size_bytes
    assert needs == (1 << 30, 2 << 30, 10 << 30)


def test_optional_parameters_may_be_missing(write: Write) -> None:
    template = read_template(write(minimum_memory="", recommended_memory="", minimum_size=""))
    needs = template.minimum_memory_bytes, template.recommended_memory_bytes, template.minimum_size_bytes
    assert needs == (None, None, None)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"probe": ""}, "'probe' is not supported"),
        ({"probe": "echo hi"}, "probe: expected 'hello\\n', got "),
        ({"probe": "printf hello"}, "probe: expected 'hello\\n', got "),
        ({"probe": "echo hello; exit 1"}, "probe: exit status 1"),
        ({"probe": "kill -9 $$"}, "probe: killed by SIGKILL"),
        ({"base_image": ""}, "'base-image' is not supported"),
        ({"base_image": ":"}, "base-image: not an image name: ''"),
        ({"base_image": "echo a; echo b"}, "base-image: not an image name: 'a\\nb'"),
        ({"base_image": "printf 'a\\033[31m'"}, "base-image: not an image name: 'a\\x1b[31m'"),
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
def test_a_broken_rule_is_an_error(write: Write, answers: dict[str, str], message: str) -> None:
    assert fault(write(**answers)).startswith(message)


def test_the_error_of_a_file_that_is_not_executable_has_the_remedy(write: Write) -> None:
    path = write()
    path.chmod(0o644)
    with pytest.raises(TemplateError) as caught:
        read_template(path)
    assert str(caught.value) == f"x: not executable; run 'chmod +x {path}'"


def test_a_file_that_cannot_be_executed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.template"
    path.write_text("#!/nosuch/interpreter\n")
    path.chmod(0o755)
    assert fault(path) == "cannot run its interpreter '/nosuch/interpreter' on this machine"
    path.write_text("no program\n")
    assert fault(path) == "not a script: its first line does not begin with #!"


# The last one leaves the process group that is killed, and keeps the output open.
@pytest.mark.parametrize(
    "hang", ["sleep 60", "sleep 60; :", "sleep 60 & wait", "sleep 60 & echo hello", "setsid sleep 8 & echo hello"]
)
def test_a_template_that_hangs_times_out_with_its_child_processes(
    write: Write, monkeypatch: pytest.MonkeyPatch, hang: str
) -> None:
    monkeypatch.setattr("mclu_shell.cloud.templates.runner._TIME_LIMIT_S", 0.3)
    started = time.monotonic()
    assert fault(write(probe=hang)) == "probe: timed out after 0.3 s"
    assert time.monotonic() - started < 5


def test_background_processes_end_with_the_template(write: Write, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    # The reader of a FIFO gets end of file when the last writer has exited.
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    read_template(write(probe=f"exec 3>{alive}; sleep 60 >/dev/null 2>&1 & echo hello"))
    assert select.select([reader], [], [], 10)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_endless_output_is_an_error(write: Write, stream: str) -> None:
    assert fault(write(probe=f"yes >&{stream}")) == "probe: more than 1M of output"


@pytest.mark.parametrize(
    "image",
    [
        "$(reboot)",
        "`reboot`",
        "a;reboot",
        "a b",
        "a'b",
        'a"b',
        "<a/>",
        "a&b",
        "../a",
        "/dev/sda",
        "-a",
        "a\\nb",
        "ä",
        "a|b",
    ],
)
def test_a_base_image_with_special_characters_is_an_error(write: Write, tmp_path: Path, image: str) -> None:
    (tmp_path / "answer").write_text(image + "\n")
    assert fault(write(base_image=f"cat {tmp_path}/answer")).startswith("base-image: not an image name: ")


@pytest.mark.parametrize("image", ["fedora-42", "ubuntu-24.04", "opensuse-leap-15.6", "a", "x:y+z_1"])
def test_a_base_image_may_have_any_name_of_virt_builder(write: Write, image: str) -> None:
    assert read_template(write(base_image=f"echo {image}")).base_image == image


def test_devices_and_kernel_arguments_are_read(write: Write) -> None:
    template = read_template(write(disk_bus="echo ide", network_model="echo e1000", kernel_arguments="echo a=1 b"))
    assert (template.disk_bus, template.network_model, template.kernel_arguments) == ("ide", "e1000", "a=1 b")
    template = read_template(write())
    assert (template.disk_bus, template.network_model, template.kernel_arguments) == (None, None, None)


@pytest.mark.parametrize("arguments", ["echo", "echo a; echo b", "printf 'a\\033b'", "echo ' a'"])
def test_kernel_arguments_must_be_words_on_one_line(write: Write, arguments: str) -> None:
    assert fault(write(kernel_arguments=arguments)).startswith("kernel-arguments: not one line of words: ")


def test_xml_is_made_from_the_environment(write: Write) -> None:
    template = read_template(write(xml='echo "<domain>$name $memory_kb</domain>"'))
    assert custom_xml(template, {"name": "web", "memory_kb": "1024"}) == "<domain>web 1024</domain>\n"
    assert custom_xml(read_template(write("y")), {"name": "web"}) is None


def test_error_output_of_a_template_is_escaped_for_the_terminal(write: Write) -> None:
    message = fault(write(base_image="printf 'one\\nt\\033[31mwo\\n' >&2; exit 1"))
    assert message == "base-image: exit status 1 ('t\\x1b[31mwo')"


def test_a_path_that_is_not_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.template").mkdir()
    assert fault(tmp_path / "x.template") == "not a file"
    (tmp_path / "y.template").symlink_to("nowhere")
    assert fault(tmp_path / "y.template") == "cannot be read: No such file or directory"


@pytest.mark.parametrize("name", ["a b", "a;b", "-a", "a'b", "ä", "a" * 65])
def test_a_name_with_special_characters_is_an_error(write: Write, name: str) -> None:
    assert fault(write(name)).startswith("bad template name")


def test_a_name_is_escaped_for_the_terminal(write: Write) -> None:
    assert template_name(write("a\x1b[31m")) == "a\\x1b[31m"


def test_settings_are_cached_until_the_file_changes(write: Write, tmp_path: Path) -> None:
    count = f"echo x >>{tmp_path}/asked; echo hello"
    for _ in range(3):
        path = write(probe=count)
        os.utime(path, ns=(1, 1))
        read_template(path)
    assert (tmp_path / "asked").read_text() == "x\n"
    os.utime(path, ns=(2, 2))
    read_template(path)
    assert (tmp_path / "asked").read_text() == "x\nx\n"
    path.chmod(0o600)
    assert fault(path) == "not executable"


def test_errors_are_not_cached(write: Write, tmp_path: Path) -> None:
    path = write(probe=f"cat {tmp_path}/later")
    assert fault(path).startswith("probe: exit status 1")
    (tmp_path / "later").write_text("hello\n")
    assert read_template(path).base_image == "fedora-40"


def test_a_timeout_is_cached_only_for_read_template_cached(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mclu_shell.cloud.templates.runner._TIME_LIMIT_S", 0.3)
    asked = tmp_path / "asked"
    hang = f"echo x >>{asked}; sleep 60"
    path = write(probe=hang)

    def cached() -> str:
        with pytest.raises(TemplateError) as caught:
            read_template_cached(path)
        return str(caught.value)

    assert [cached(), cached()] == ["x: probe: timed out after 0.3 s"] * 2
    assert asked.read_text() == "x\n"
    # `boot` needs the current state.
    assert fault(path) == "probe: timed out after 0.3 s"
    assert asked.read_text() == "x\nx\n"
    write(probe=f"{hang}; :")
    cached()
    assert asked.read_text() == "x\nx\nx\n"
    write()
    assert read_template_cached(path).base_image == "fedora-40"


def test_a_template_does_not_run_in_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image").write_text("fedora-1")
    monkeypatch.chdir(tmp_path)
    path = write(base_image="cat image")
    assert fault(path.relative_to(tmp_path)).startswith("base-image: exit status 1")


def test_a_template_has_no_input(write: Write) -> None:
    assert read_template(write(base_image="echo read-$(cat)")).base_image == "read-"


class TestSearch:
    def test_a_template_is_found_by_name(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MCLU_PATH", str(tmp_path))
        path = write("x")
        assert find_template("x") == path
        write("debian")
        with pytest.raises(NotFound, match="no such template 'debain'; did you mean 'debian'"):
            find_template("debain")
        with pytest.raises(NotFound, match=f"available in {tmp_path}: debian, x"):
            find_template("quite-another")

    def test_hidden_files_are_ignored(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MCLU_PATH", str(tmp_path))
        write(".#x")
        assert find_templates() == []

    def test_the_first_directory_wins_and_names_are_sorted(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        kept = [write("b", first), write("a", second)]
        write("b", second)
        (first / "readme.txt").touch()
        monkeypatch.setenv("MCLU_PATH", f"{first}:/nosuch:{second}")
        assert find_templates() == [kept[1], kept[0]]
        assert [template_name(path) for path in find_templates()] == ["a", "b"]

    def test_a_directory_may_begin_with_a_tilde(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MCLU_PATH", "~/mine")
        written = write("b", tmp_path / "mine")
        assert find_templates() == [written]

    def test_the_shipped_directory_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MCLU_PATH")
        (directory,) = template_directories()
        assert directory.is_dir()

    @pytest.mark.slow
    def test_the_shipped_templates_are_installed(self, tmp_path: Path) -> None:
        repository = Path(__file__).parents[3]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            # Otherwise pip removes mclu from the environment of the tests.
            "--ignore-installed",
            "--prefix",
            str(tmp_path),
            str(repository),
        ]
        subprocess.run(pip, check=True, stdin=subprocess.DEVNULL, timeout=300)
        (package,) = tmp_path.glob("lib/python*/site-packages")
        program = (
            "from mclu_shell.cloud.templates.template import *; "
            "print(*[read_template(path).path for path in find_templates()])"
        )
        environment = {**os.environ, "PYTHONPATH": str(package), "MCLU_PATH": ""}
        completed = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd="/", capture_output=True, text=True, check=True
        )
        expected = sorted(path.stem for path in repository.glob("templates/*.template"))
        assert completed.stdout.split() == [f"{tmp_path}/share/mclu/templates/{name}.template" for name in expected]
