"""Two boots at once on real nodes: of one name exactly one wins."""

from pathlib import Path

import pytest

from tests.lab.boot.fixtures import complains, lab, templates
from tests.lab.support.cli import Told, at_once, mclu, started, until
from tests.lab.support.guests import (
    BUILD,
    WAIT,
    images,
    open_gate,
    sh,
    states,
    template,
    traces,
    wait_for_gate,
)
from tests.lab.support.lab import RealLab

__all__ = ["lab", "templates"]


def test_of_two_boots_of_one_name_exactly_one_wins(lab: RealLab) -> None:
    one, other = sorted(at_once(lab, "boot quick ham0:web", "boot quick ham1:web"), key=lambda told: told.status)
    assert one.status == 0, one
    complains(other, "", "web")
    winner, loser = ("ham0", "ham1") if one.out.startswith("ham0") else ("ham1", "ham0")
    assert (states(lab, winner), states(lab, loser)) == ({"web": "running"}, {})
    assert (images(lab, winner), images(lab, loser)) == (["web.qcow2"], [])


@pytest.mark.parametrize("node", ["ham0", "ham1"])
def test_the_one_who_comes_late_leaves_the_disk_of_the_first_alone(lab: RealLab, templates: Path, node: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    with started(lab, "boot", "slow", f"{node}:web") as command:
        wait_for_gate(lab, node)
        before = {at: traces(lab, at) for at in ("ham0", "ham1")}
        late = [mclu(lab, "boot", "quick", name) for name in ("web", "ham1:web")]
        for told in late:
            complains(told, "somebody else is booting a guest called 'web' at this moment")
        assert {at: traces(lab, at) for at in ("ham0", "ham1")} == before
        open_gate(lab, node)
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (0, f"{node}:web running\n", "")
    assert images(lab, node) == ["web.qcow2"]


def test_two_names_at_once(lab: RealLab) -> None:
    one, other = at_once(lab, "boot quick web", "boot quick db")
    assert (one.out, other.out) == ("ham0:web running\n", "ham0:db running\n"), (one, other)


def boot_twice(lab: RealLab, config: Path, elsewhere: str) -> list[Told]:
    """Boot a guest on ham0, and, while that is built, one of its name with another configuration."""
    with started(lab, "boot", "slow", "ham0:web") as one:
        wait_for_gate(lab, "ham0")
        with started(lab, "-f", str(config), "boot", "slow", elsewhere) as two:
            until(lambda: two.poll() is not None or sh(lab, "ham1", "find /tmp -name gate"))
            if two.poll() is None:
                open_gate(lab, "ham1")
            open_gate(lab, "ham0")
            return [Told(command.wait(30), *command.communicate(), 0) for command in (one, two)]


def exactly_one(lab: RealLab, *answers: Told) -> None:
    """Assert that one of two boots of web made it, on one node, and that nothing is left of the other."""
    made, failed = sorted(answers, key=lambda told: told.status)
    assert made.status == 0, answers
    complains(failed, "", "web")
    found = [(states(lab, node), images(lab, node)) for node in ("ham0", "ham1")]
    assert sorted(found, key=str) == [({"web": "running"}, ["web.qcow2"]), ({}, [])], answers


def test_a_configuration_that_lists_the_nodes_in_another_order(lab: RealLab, templates: Path, tmp_path: Path) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    general, mark, nodes = (lab.path / "mclu.conf").read_text().partition("[nodes]\n")
    (tmp_path / "other.conf").write_text(general + mark + "\n".join(reversed(nodes.splitlines())) + "\n")
    exactly_one(lab, *boot_twice(lab, tmp_path / "other.conf", "ham1:web"))


def test_a_configuration_that_calls_the_nodes_by_other_names(lab: RealLab, templates: Path, tmp_path: Path) -> None:
    """So the name is held on two nodes, and only the guests themselves tell."""
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    general, mark, _ = (lab.path / "mclu.conf").read_text().partition("[nodes]\n")
    (tmp_path / "other.conf").write_text(f"{general}{mark}a address=ham1\nb address=ham0\n")
    exactly_one(lab, *boot_twice(lab, tmp_path / "other.conf", "a:web"))
