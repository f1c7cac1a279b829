"""A template's own XML, validated by libvirt before the build."""

from typing import NamedTuple

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import TemplateError

# libvirt may have to query the emulator first.
_VALIDATE_TIMEOUT_S = 10.0


class Validation(NamedTuple):
    """The result of a node: `is_done` if its libvirt can validate XML; `fault` if it refuses this one, or empty."""

    is_done: bool
    fault: str


def require_valid_xml(node: Node, template: str, xml: str) -> None:
    """Raise TemplateError if a node's libvirt would refuse to define or start a guest with the XML."""
    if fault := _validate(node, xml).fault:
        raise TemplateError(
            f"libvirt on {node.name} refuses its xml: {fault}",
            place=template,
            remedy=f"correct the template; 'template check {template}' validates it",
        )


def validate_on_all(cloud: Cloud, xml: str) -> list[str]:
    """Return the nodes whose libvirt accepts the XML; raise TemplateError for one that does not.

    Nodes that do not answer are left out.
    """
    accepting = []
    for outcome in cloud.query(lambda node: _validate(node, xml)):
        if outcome.error is None and (validation := outcome.unwrap()).is_done:
            if validation.fault:
                raise TemplateError(f"libvirt on {outcome.item.name} refuses it: {validation.fault}")
            accepting.append(outcome.item.name)
    return accepting


def has_valid_schema(xml: str) -> bool:
    """Compare XML with libvirt's schema on this machine; return False if there is none. Raise TemplateError."""
    from mclu_shell.cloud.hypervisor.validation import InvalidXML, check_schema

    try:
        return check_schema(xml)
    except InvalidXML as error:
        raise TemplateError(str(error)) from error


def _validate(node: Node, xml: str) -> Validation:
    return node.query(
        lambda client: Validation(client.can_validate_xml, client.find_xml_fault(xml) or ""), _VALIDATE_TIMEOUT_S
    )
