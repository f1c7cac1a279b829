"""The schema check without a node. The tests of `boot` in the lab validate XML with a node's libvirt."""

import pytest

from mclu_shell.cloud.hypervisor.validation import InvalidXML, check_schema

XML = "<domain type='{kind}'><name>x</name><memory>65536</memory><os><type arch='{arch}'>hvm</type></os>{more}</domain>"


@pytest.mark.parametrize("kind", ["qemu", "kvm", "xen"])
@pytest.mark.parametrize("arch", ["x86_64", "aarch64", "riscv64"])
def test_a_valid_domain_of_any_machine_passes(kind: str, arch: str) -> None:
    assert check_schema(XML.format(kind=kind, arch=arch, more="<features><acpi/></features>"))


def test_an_unknown_element_is_named() -> None:
    with pytest.raises(InvalidXML, match="does not match libvirt's schema: Element domain has extra content: memroy"):
        check_schema(XML.format(kind="qemu", arch="x86_64", more="<memroy/>"))


def test_qemu_arguments_are_valid() -> None:
    xml = XML.format(kind="qemu", arch="x86_64", more="<q:commandline><q:arg value='-S'/></q:commandline>")
    assert check_schema(xml.replace("<domain", "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"))
