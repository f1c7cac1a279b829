"""XML of libvirt: domains, snapshots, capabilities, networks, storage pools."""

from xml.etree import ElementTree as ET

from mclu_shell.parsing.limits import MOST_XML_CHARACTERS, InvalidData, require_depth, require_size


def parse_xml(text: str) -> ET.Element:
    """Return the root element; raise InvalidData for text that is no XML, too long or nested too deeply."""
    require_size(text, "XML", MOST_XML_CHARACTERS)
    # libvirt sends no document type, whose entities could grow without limit.
    if "<!DOCTYPE" in text:
        raise InvalidData("XML has a document type")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise InvalidData(str(error)) from None
    require_depth(root, iter, "XML")
    return root
