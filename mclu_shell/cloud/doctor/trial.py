"""A trial: boot a guest of the template `tiny` on a node, wait for its login prompt, and destroy it."""

import secrets
import time
from collections.abc import Callable

from mclu_shell.cloud.boot.boot import boot
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.doctor.finding import Finding, fault, ok
from mclu_shell.cloud.guests.destroy import destroy_guests
from mclu_shell.cloud.guests.destroy_plans import plan_all
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.cloud.guests.survey import survey_nodes
from mclu_shell.cloud.guests.wait import WaitCondition, wait_for_guest
from mclu_shell.cloud.guests.wait_targets import WaitTarget
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.templates.template import find_template, read_template
from mclu_shell.errors import MCluError

TEMPLATE = "tiny"
# Emulation on a busy machine takes 30 s.
_TIMEOUT_S = 120.0


def try_boot(cloud: Cloud, node: Node, progress: Callable[[str], None]) -> Finding:
    """Boot and destroy a guest on a node; raise MCluError only if a guest was left."""
    name = f"mclu-doctor-{secrets.token_hex(3)}"
    started = time.monotonic()
    try:
        template = read_template(find_template(TEMPLATE))
        boot(cloud, template, BootRequest(name, node.name), progress)
    except MCluError as error:
        return _failed(error)
    try:
        progress(f"waiting for the login prompt of {node.name}:{name}")
        _wait_for_login(cloud, node, name)
        return ok(f"a guest booted to its login prompt in {time.monotonic() - started:.1f} s")._replace(check="boot")
    except MCluError as error:
        return _failed(error)
    finally:
        progress(f"destroying {node.name}:{name}")
        _destroy(cloud, f"{node.name}:{name}")


def _failed(error: MCluError) -> Finding:
    reason = "; ".join((error.fact, *error.details))
    return fault(reason, error.remedy or "check the findings above")._replace(check="boot")


def _wait_for_login(cloud: Cloud, node: Node, name: str) -> None:
    (match,) = find_guests(cloud, [f"{node.name}:{name}"])
    if not node.config.runs_guests:
        # Simulated guests have no console.
        return
    condition = WaitCondition("console", Regex("login:"))
    wait_for_guest(cloud, WaitTarget(name, match), condition, CancelScope(_TIMEOUT_S))


def _destroy(cloud: Cloud, name: str) -> None:
    targets = find_guests(cloud, [name])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, errors = plan_all(survey, targets)
    for error in (*errors, *(outcome.error for outcome in destroy_guests(survey, plans))):
        if error is not None:
            raise error
