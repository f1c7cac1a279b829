"""Two boots at the same time on real nodes."""

from pathlib import Path

import pytest

from tests.lab.support.boot import assert_error
from tests.lab.support.cli import Result, background, mclu, mclu_parallel, wait_until
from tests.lab.support.guests import BUILD, WAIT, images, open_gate, sh, states, template, traces, wait_for_gate
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]


def test_exactly_one_of_two_boots_of_one_name_wins(lab: RealLab) -> None:
    one, other = sorted(
        mclu_parallel(lab, "boot quick ham0:web", "boot quick ham1:web"), key=lambda result: result.status
    )
    assert one.status == 0, one
    assert_error(other, "", "web")
    winner, loser = ("ham0", "ham1") if one.out.startswith("ham0") else ("ham1", "ham0")
    assert (states(lab, winner), states(lab, loser)) == ({"web": "running"}, {})
    assert (images(lab, winner), images(lab, loser)) == (["web.qcow2"], [])


def test_a_later_boot_of_the_same_name_on_the_same_node_fails_before_its_build(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    with background(lab, "boot", "slow", "ham0:web") as command:
        wait_for_gate(lab, "ham0")
        before = {node: traces(lab, node) for node in ("ham0", "ham1")}
        for name in ("web", "ham0:web"):
            late = mclu(lab, "boot", "quick", name)
            assert_error(late, "ham0: nothing was built: another boot of this name is in progress")
        assert {node: traces(lab, node) for node in ("ham0", "ham1")} == before
        open_gate(lab, "ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (0, "ham0:web running\n", "")
    assert images(lab, "ham0") == ["web.qcow2"]


def test_a_boot_whose_name_another_node_gets_during_its_build_fails_and_leaves_nothing(
    lab: RealLab, templates: Path
) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham1")
    with background(lab, "boot", "slow", "ham1:web") as command:
        wait_for_gate(lab, "ham1")
        assert mclu(lab, "boot", "quick", "ham0:web").out == "ham0:web running\n"
        open_gate(lab, "ham1")
        out, err = command.communicate(timeout=30)
    message = "mclu: ham0: another boot created a guest 'web' at the same time\n"
    assert (command.returncode, out, err) == (1, "", message)
    assert (states(lab, "ham0"), states(lab, "ham1")) == ({"web": "running"}, {})
    assert traces(lab, "ham1") == before


def test_two_guests_can_be_booted_at_the_same_time(lab: RealLab) -> None:
    one, other = mclu_parallel(lab, "boot quick web", "boot quick db")
    assert (one.out, other.out) == ("ham0:web running\n", "ham0:db running\n"), (one, other)


def boot_twice(lab: RealLab, config: Path, elsewhere: str) -> list[Result]:
    """Boot a guest on ham0 and, during its build, one of the same name with another configuration."""
    with background(lab, "boot", "slow", "ham0:web") as one:
        wait_for_gate(lab, "ham0")
        with background(lab, "-f", str(config), "boot", "slow", elsewhere) as two:
            wait_until(lambda: two.poll() is not None or sh(lab, "ham1", "find /tmp -name gate"))
            if two.poll() is None:
                open_gate(lab, "ham1")
            open_gate(lab, "ham0")
            return [Result(command.wait(30), *command.communicate(), 0) for command in (one, two)]


def assert_one_won(lab: RealLab, *results: Result) -> None:
    """Assert that one of two boots of web made it on one node, and that the other left nothing."""
    made, failed = sorted(results, key=lambda result: result.status)
    assert made.status == 0, results
    assert_error(failed, "", "web")
    contents = [(states(lab, node), images(lab, node)) for node in ("ham0", "ham1")]
    assert sorted(contents, key=str) == [({"web": "running"}, ["web.qcow2"]), ({}, [])], results


def test_boots_on_two_nodes_exclude_each_other(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    assert_one_won(lab, *boot_twice(lab, lab.path / "mclu.conf", "ham1:web"))


def test_boots_with_different_names_of_the_nodes_exclude_each_other(
    lab: RealLab, templates: Path, tmp_path: Path
) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    general, mark, _ = (lab.path / "mclu.conf").read_text().partition("[nodes]\n")
    (tmp_path / "other.conf").write_text(f"{general}{mark}a address=ham1\nb address=ham0\n")
    assert_one_won(lab, *boot_twice(lab, tmp_path / "other.conf", "a:web"))
