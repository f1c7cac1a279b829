"""Checks of programs that mclu and the templates run on a node."""

from mclu_shell.cloud.doctor.checks.libvirt import DAEMONS
from mclu_shell.cloud.doctor.distribution import install_programs
from mclu_shell.cloud.doctor.finding import Finding, fault_for_root, ok, unchecked
from mclu_shell.cloud.doctor.subject import Subject

# Builds and the deletion of guests need them (cloud/boot/, cloud/guests/).
REQUIRED = ("flock", "setsid", "timeout", "qemu-img")
# All others that checks look for.
PROGRAMS = (*REQUIRED, *DAEMONS, "ethtool", "sudo")


def check_programs(subject: Subject) -> Finding:
    """Check the programs that every boot needs."""
    if subject.facts is None:
        return unchecked("the node cannot be examined")
    missing = [program for program in REQUIRED if program not in subject.facts.programs]
    if not missing:
        return ok(f"has {', '.join(REQUIRED)}")
    return fault_for_root(f"has no {' and no '.join(missing)}", install_programs(subject.distribution, missing))


def check_template_programs(subject: Subject) -> Finding:
    """Check the programs that templates need."""
    if subject.facts is None:
        return unchecked("the node cannot be examined")
    present = subject.facts.programs
    missing = {needed: names for needed, names in subject.programs.items() if present.isdisjoint(needed)}
    if not missing:
        return ok("all templates have their programs")
    first = [needed[0] for needed in missing]
    lacks = " and no ".join(" or ".join(needed) for needed in missing)
    names = sorted({name for names in missing.values() for name in names})
    fact = f"has no {lacks}, for the template{'s' if len(names) > 1 else ''} {', '.join(names)}"
    return fault_for_root(fact, install_programs(subject.distribution, first), is_warning=True)
