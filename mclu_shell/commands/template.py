"""Show a template's settings, or check a template.

Actions:
  show   print the settings of the template
  check  run every query that mclu makes, and report each rule as
         ok, not ok, or not given (optional)

A name that contains a slash or ends with .template is a file, and need not be in a directory of $MCLU_PATH. 'check'
builds nothing; to try a build, use 'boot'. If the template has XML of its own, the libvirt of all nodes that are on
validates it; without such a node, it is only compared with libvirt's schema.

Examples:
  template show debian
  template check ./mine.template
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mclu_shell.argtypes import types
from mclu_shell.cloud.templates.check import Finding, check_template
from mclu_shell.cloud.templates.directories import unreadable_directories
from mclu_shell.cloud.templates.template import SUFFIX, Template, find_template, read_template, template_name
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import ConfigError, TemplateError
from mclu_shell.output.results import Result, Row, Table
from mclu_shell.output.schema.template import Rule, template_record
from mclu_shell.units import format_size
from mclu_shell.user_paths import absolute, expand_home

GROUP = Group.MAKE
DOCUMENT = ("templates", "rules")
_VERDICTS = {True: ("ok", "good"), False: ("not ok", "bad"), None: ("not given", "quiet")}


def add_arguments(parser: Parser) -> None:
    """Add the action and the template."""
    parser.add_argument("action", metavar="show|check", type=types.choice("show", "check"), help="action")
    parser.add_argument(
        "template", metavar="NAME|FILE", type=types.TEMPLATE_OR_FILE, help="template, by name or by file"
    )


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a table of the template's settings, or of the rules."""
    path = _path(args.template)
    if not _is_file(args.template):
        yield from unreadable_directories()
    if args.action == "show":
        yield _settings(read_template(path))
    else:
        yield from _check(context, path)


def _is_file(name: str) -> bool:
    return "/" in name or name.endswith(SUFFIX)


def _path(name: str) -> Path:
    return absolute(Path(expand_home(name))) if _is_file(name) else find_template(name)


def _settings(template: Template) -> Table:
    sizes = {
        "minimum-memory": template.minimum_memory_bytes,
        "recommended-memory": template.recommended_memory_bytes,
        "minimum-size": template.minimum_size_bytes,
    }
    settings = {
        "path": str(template.path),
        "base-image": template.base_image,
        **{parameter: format_size(size) for parameter, size in sizes.items() if size is not None},
        "disk-bus": template.disk_bus,
        "network-model": template.network_model,
        "kernel-arguments": template.kernel_arguments,
    }
    rows = tuple(Row((parameter, value)) for parameter, value in settings.items() if value is not None)
    return Table(rows, data=partial(template_record, template))


def _check(context: Context, path: Path) -> Iterator[Result]:
    context.notify(f"checking {template_name(path)}")
    findings = list(check_template(path, partial(_validate_xml, context)))
    yield Table(tuple(_row(finding) for finding in findings))
    failed = sum(finding.holds is False for finding in findings)
    if failed:
        rules = "1 rule" if failed == 1 else f"{failed} rules"
        yield TemplateError(f"{rules} failed", place=template_name(path))


def _validate_xml(context: Context, xml: str) -> str | None:
    """Return where libvirt accepts a template's own XML: on all nodes that answer, or else in the schema."""
    # Only a template with XML of its own needs it.
    from mclu_shell.cloud.boot.own_xml import has_valid_schema, validate_on_all

    try:
        nodes = validate_on_all(context.cloud, xml)
        reason = "no node with QEMU is on"
    except ConfigError as error:
        nodes, reason = [], f"{error.place}: {error.fact}"
    if nodes:
        return f"on {', '.join(nodes)}"
    return f"only compared with the schema: {reason}" if has_valid_schema(xml) else None


def _row(finding: Finding) -> Row:
    verdict, tone = _VERDICTS[finding.holds]
    data = partial(Rule, finding.rule, finding.holds, finding.detail or None)
    return Row((verdict, finding.rule, finding.detail), tone, data)
