"""Show what a template says of itself, or check that it keeps the contract of templates.

A check asks a template all that mclu will ever ask it, and says rule by rule what holds; what a template may
leave out and does is "not given". Nothing is built: that is tried with 'boot'. FILE has a slash in it, or ends
with .template, and need not be in a directory of $MCLU_PATH.

  template show debian
  template check ./mine.template
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mclu_shell.argtypes import types
from mclu_shell.cloud.templates.check import Finding, check_template
from mclu_shell.cloud.templates.template import SUFFIX, Template, find_template, read_template, template_name
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import TemplateError
from mclu_shell.output.results import Result, Row, Table
from mclu_shell.output.schema.template import Rule, template_record
from mclu_shell.units import format_size

GROUP = Group.MAKE
DOCUMENT = ("templates", "rules")
_VERDICTS = {True: ("ok", "good"), False: ("not ok", "bad"), None: ("not given", "quiet")}


def add_arguments(parser: Parser) -> None:
    """What to do, and with which template."""
    parser.add_argument("action", metavar="show|check", type=types.word_kind("show", "check"), help="what to do")
    parser.add_argument("template", metavar="NAME|FILE", type=types.TEMPLATE_OR_FILE, help="the template")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A table of its answers, or of the rules."""
    path = _path(args.template)
    if args.action == "show":
        yield _answers(read_template(path))
    else:
        yield from _check(context, path)


def _path(given: str) -> Path:
    is_file = "/" in given or given.endswith(SUFFIX)
    return Path(given).expanduser().absolute() if is_file else find_template(given)


def _answers(template: Template) -> Table:
    sizes = {
        "minimum-memory": template.minimum_memory_bytes,
        "recommended-memory": template.recommended_memory_bytes,
        "minimum-size": template.minimum_size_bytes,
    }
    told = {
        "path": str(template.path),
        "base-image": template.base_image,
        **{parameter: format_size(size) for parameter, size in sizes.items() if size is not None},
        "disk-bus": template.disk_bus,
        "network-model": template.network_model,
        "kernel-arguments": template.kernel_arguments,
    }
    rows = tuple(Row((parameter, answer)) for parameter, answer in told.items() if answer is not None)
    return Table(rows, data=partial(template_record, template))


def _check(context: Context, path: Path) -> Iterator[Result]:
    context.notify(f"asking {template_name(path)}")
    findings = list(check_template(path))
    yield Table(tuple(_row(finding) for finding in findings))
    broken = sum(finding.holds is False for finding in findings)
    if broken:
        rules = "1 rule does" if broken == 1 else f"{broken} rules do"
        yield TemplateError(f"{rules} not hold", place=template_name(path))


def _row(finding: Finding) -> Row:
    verdict, tone = _VERDICTS[finding.holds]
    data = partial(Rule, finding.rule, finding.holds, finding.detail or None)
    return Row((verdict, finding.rule, finding.detail), tone, data)
