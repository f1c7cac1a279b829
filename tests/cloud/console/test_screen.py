from xml.etree import ElementTree as ET

import pytest

from mclu_shell.cloud.console.screen import graphics_address
from mclu_shell.cloud.transport.forward import Address


@pytest.mark.parametrize(
    ("graphics", "address"),
    [
        # As libvirt 9 writes them for a running guest.
        (
            "<graphics type='vnc' port='5900' autoport='yes' listen='127.0.0.1'>"
            "<listen type='address' address='127.0.0.1'/></graphics>",
            ("127.0.0.1", 5900),
        ),
        (
            "<graphics type='vnc' port='5901' autoport='yes' listen='0.0.0.0'>"
            "<listen type='address' address='0.0.0.0'/></graphics>",
            ("127.0.0.1", 5901),
        ),
        (
            "<graphics type='spice' port='5902' tlsPort='5903' autoport='yes' listen='::'>"
            "<listen type='address' address='::'/></graphics>",
            ("::1", 5902),
        ),
        (
            "<graphics type='vnc' port='5900' listen='10.0.0.7'><listen type='network' address='10.0.0.7' "
            "network='default'/></graphics>",
            ("10.0.0.7", 5900),
        ),
        (
            "<graphics type='vnc' socket='/run/web.vnc'><listen type='socket' socket='/run/web.vnc'/></graphics>",
            "/run/web.vnc",
        ),
        ("<graphics type='spice'><listen type='socket' socket='/run/web.spice'/></graphics>", "/run/web.spice"),
        ("<graphics type='spice' tlsPort='5901' autoport='yes'/>", None),
        ("<graphics type='spice'><listen type='none'/></graphics>", None),
        ("<graphics type='vnc' port='-1' autoport='yes'/>", None),
    ],
)
def test_the_address_of_a_screen_is_read_from_its_xml(graphics: str, address: Address | None) -> None:
    assert graphics_address(ET.fromstring(graphics)) == address
