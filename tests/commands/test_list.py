from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mclu import InProcess
from tests.support.templates import write_template

GUESTS = "ham0:db   running  4G  2vcpus\nham0:web  running  2G  2vcpus\n"


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with the template fedora, and old, which is not executable."""
    directory = tmp_path / "templates"
    directory.mkdir()
    for name, mode in (("old", 0o644), ("fedora", 0o755)):
        path = write_template(
            directory, name, minimum_memory="echo 1G", recommended_memory="echo 2G", minimum_size="echo 10G"
        )
        path.chmod(mode)
    monkeypatch.setenv("MCLU_PATH", str(directory))
    return directory


def test_running_guests_are_listed_by_node_and_name(demo: InProcess) -> None:
    answer = demo("list")
    assert (answer.status, answer.out, answer.err) == (0, GUESTS, "")
    assert demo("list --all").out == demo("list --active").out == GUESTS


def test_inactive_guests_are_listed_only_on_request(demo: InProcess) -> None:
    assert demo("list --inactive").out == ""


def test_all_lists_guests_templates_and_their_faults(demo: InProcess, templates: Path) -> None:
    answer = demo("list")
    shown = [line.split() for line in answer.out.splitlines()]
    assert shown[2:] == [
        ["fedora", "template", "fedora-40", "memory>=1G", "memory=2G", "size>=10G"],
        ["old", "broken", "template"],
    ]
    assert answer.out.startswith(GUESTS)
    assert (answer.status, answer.err) == (1, f"mclu: old: not executable; run 'chmod +x {templates}/old.template'\n")


@pytest.mark.usefixtures("templates")
def test_guests_and_templates_can_be_listed_separately(demo: InProcess) -> None:
    assert demo("list --active").out == GUESTS
    assert [line.split()[0] for line in demo("list --templates").out.splitlines()] == ["fedora", "old"]


@pytest.mark.usefixtures("templates")
def test_templates_need_no_node(clouds: Callable[..., InProcess], closed_port: int) -> None:
    cloud = clouds(f"[nodes]\nbad address=127.0.0.1 port={closed_port}")
    assert "refused" not in cloud("list --templates").err


def test_a_faulty_node_is_reported_and_hides_no_other(clouds: Callable[..., InProcess], closed_port: int) -> None:
    cloud = clouds(f"[nodes]\nbad address=127.0.0.1 port={closed_port}\ngood via=local uri=test:///default")
    answer = cloud("list --active")
    # The test: driver invents an address for its network card.
    assert (answer.status, answer.out.rpartition("  ")[0]) == (1, "good:test  running  8G  2vcpus")
    assert answer.err.startswith(f"mclu: bad: ssh: connection refused on port {closed_port}; ")


def test_a_node_that_is_off_lists_no_guests(clouds: Callable[..., InProcess], silent_port: int) -> None:
    cloud = clouds(f"[nodes]\noff address=127.0.0.1 port={silent_port} connect_timeout=0.2")
    answer = cloud("list")
    assert (answer.status, answer.out, answer.err) == (0, "", "")


@pytest.mark.parametrize("options", ["--active --all", "--templates --inactive"])
def test_options_exclude_each_other(demo: InProcess, options: str) -> None:
    answer = demo(f"list {options}")
    assert answer.status == 2
    assert "not allowed with argument" in answer.err


def test_a_template_that_hangs_is_waited_for_once(
    demo: InProcess, templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mclu_shell.cloud.templates.runner._TIME_LIMIT_S", 0.3)
    hanging = templates / "old.template"
    hanging.write_text(f"#!/bin/sh\necho x >>{tmp_path}/asked\nsleep 60\n")
    hanging.chmod(0o755)
    answers = [demo("list --templates") for _ in range(3)]
    assert {answer.err for answer in answers} == {"mclu: old: probe: timed out after 0.3 s\n"}
    assert (tmp_path / "asked").read_text() == "x\n"
    # A check does not use the cache.
    assert demo("template check old").status == 1
    assert (tmp_path / "asked").read_text() == "x\nx\n"
