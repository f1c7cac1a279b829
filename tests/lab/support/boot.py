"""Constants and assertions of the tests of boot."""

from tests.lab.support.cli import Result
from tests.lab.support.guests import IMAGES

OWN_XML = """cat <<END
<domain type='qemu'><name>${{called:-$name}}</name>{more}<memory unit='KiB'>$memory_kb</memory><vcpu>$vcpus</vcpu>
<os><type>hvm</type></os><devices>{device}
<disk type='file'><driver name='qemu' type='$format'/><source file='$output'/><target dev='vda' bus='$disk_bus'/></disk>
<interface type='user'><mac address='$mac_addr'/></interface></devices>
</domain>
END"""
LIBVIRTD = "$(cat /run/libvirtd.pid)"
MAY_BE_LEFT = f"if the node lost power, remove {IMAGES}/web.qcow2 there; otherwise it removes the build output itself"


def assert_error(result: Result, start: str, *words: str, status: int = 1) -> None:
    """Assert that mclu failed with one line that begins with `start` and contains the words."""
    assert (result.status, result.out) == (status, ""), result
    assert result.err.startswith(f"mclu: {start}"), result.err
    assert [word for word in words if word not in result.err] == [], result.err
    assert len(result.err.splitlines()) == 1, result.err
