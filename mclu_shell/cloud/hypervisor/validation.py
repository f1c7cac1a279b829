"""Validation of a domain's XML by libvirt, without defining the domain.

libvirt has no call for this. These three accept what `define` and `start` accept, and none can define a domain:

* A definition whose name contains a newline: QEMU's driver parses and validates the whole XML, then refuses the name.
* A definition with VIR_DOMAIN_DEFINE_VALIDATE whose name contains a slash: it is compared with the schema first.
* virConnectDomainXMLToNative: the features that the emulator lacks, such as a CPU model.
"""

from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from mclu_shell.parsing.xml import parse_xml

# Devices of the host and secrets are prepared only at the start, so virConnectDomainXMLToNative fails for them.
_UNPREPARED = (".//hostdev", ".//interface[@type='hostdev']", ".//secret", ".//auth", ".//encryption")


class InvalidXML(Exception):
    """Raised when libvirt refuses the XML; the message has one line."""


def require_valid(connection: Any, xml: str) -> None:
    """Raise InvalidXML if the node's QEMU driver would refuse to define or to start a domain.

    Other drivers of libvirt may accept the names.
    """
    # The parser's message is more exact than the schema's.
    _require(_refused_definition(connection, xml, "\n", 0), refusal="invalid char in name")
    validate = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
    _require(_refused_definition(connection, xml, "/", validate), refusal="cannot contain '/'")
    if all(parse_xml(xml).find(path) is None for path in _UNPREPARED):
        _require(_conversion(connection, xml))


def check_schema(xml: str) -> bool:
    """Compare XML with libvirt's schema on this machine, without a node; raise InvalidXML.

    Return False if this machine has no schema. libvirt's test driver is part of this process.
    """
    connection = libvirt.open("test:///default")
    try:
        connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_XML_INVALID_SCHEMA:
            raise InvalidXML(_one_line(error)) from error
        # Without the files of the schema, its parser fails. The test driver lacks most machines and devices, so its
        # other errors prove nothing: it compares with the schema first.
        return "RNG" not in error.get_error_message()
    finally:
        connection.close()
    return True


def _require(error: libvirt.libvirtError | None, refusal: str = "") -> None:
    """Raise InvalidXML for an error; `refusal` is the expected error of valid XML."""
    if error is not None and not (refusal and refusal in error.get_error_message()):
        if error.get_error_code() == libvirt.VIR_ERR_RPC:
            raise error
        raise InvalidXML(_one_line(error)) from error


def _refused_definition(connection: Any, xml: str, character: str, flags: int) -> libvirt.libvirtError | None:
    """Define a domain under a name that libvirt refuses; return its error."""
    domain = parse_xml(xml)
    name = domain.find("name")
    assert name is not None
    name.text = f"{name.text}{character}"
    try:
        defined = connection.defineXMLFlags(ET.tostring(domain, encoding="unicode"), flags)
    except libvirt.libvirtError as error:
        return error
    # A libvirt that accepts the name. The domain is new, because its UUID is.
    with suppress(libvirt.libvirtError):
        defined.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    return None


def _conversion(connection: Any, xml: str) -> libvirt.libvirtError | None:
    try:
        connection.domainXMLToNative("qemu-argv", xml, 0)
    except libvirt.libvirtError as error:
        # Some builds of libvirt lack the conversion.
        return None if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT else error
    return None


def _one_line(error: libvirt.libvirtError) -> str:
    """Return libvirt's message; of the schema's, the differences without the path of the schema."""
    lines = [line for line in error.get_error_message().splitlines() if line]
    if error.get_error_code() == libvirt.VIR_ERR_XML_INVALID_SCHEMA:
        lines = [f"does not match libvirt's schema: {', '.join(lines[1:])}"]
    return " ".join(" ".join(lines).split())
