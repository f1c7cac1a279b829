import pytest

from mclu_shell.parsing.address import parse_guest_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.5", "192.0.2.5"),
        ("100.64.0.1", "100.64.0.1"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("fd00::5", "fd00::5"),
    ],
)
def test_an_address_is_returned_in_its_usual_notation(text: str, address: str) -> None:
    assert parse_guest_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.1.1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
        ),
        *("255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:192.0.2.5", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "2001:0:7f00:1::", "fe80::1%eth0", "2001:db8::7%-oProxyCommand=id", "-oProxyCommand=id"),
        *("localhost", "guest", "", " 192.0.2.5", "192.0.2.5\n", "192.0.2.5;id", "010.0.0.1", "10.1", "2130706433"),
        *("0x7f.1", "１92.0.2.5", "[::1]", None, 2130706433, b"\x7f\0\0\1", ["192.0.2.5"]),
    ],
)
def test_text_that_can_be_no_guests_address_is_refused(text: object) -> None:
    assert parse_guest_address(text) is None
