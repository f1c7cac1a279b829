from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.hypervisor.client import LibvirtClient
from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport
from mclu_shell.errors import ConnectionLost, LibvirtFault

NODE = """\
<node>
  {domains}
  <cpu><mhz>3000</mhz><model>x86_64</model><active>8</active><nodes>1</nodes><sockets>1</sockets><cores>8</cores>
    <threads>1</threads></cpu>
  <memory>8388608</memory>
</node>
"""
DOMAIN = """\
<domain type="test">
  <name>{name}</name><uuid>{uuid}</uuid><memory unit="KiB">{kib}</memory><vcpu>{vcpus}</vcpu><os><type>hvm</type></os>
  <test:runstate xmlns:test="http://libvirt.org/schemas/domain/test/1.0">{state}</test:runstate>
</domain>
"""


def uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def domain(number: int, name: str, gib: int, vcpus: int, state: int) -> str:
    return DOMAIN.format(name=name, uuid=uuid(number), kib=gib << 20, vcpus=vcpus, state=state)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LibvirtClient]:
    """Open a node of libvirt's test: driver: web and db run, paused is paused, old is shut off (virDomainState)."""
    guests = (
        domain(1, "web", 2, 2, 1),
        domain(2, "db", 1, 1, 1),
        domain(3, "paused", 1, 1, 3),
        domain(4, "old", 4, 4, 5),
    )
    file = tmp_path / "node.xml"
    file.write_text(NODE.format(domains="".join(guests)))
    opened = LibvirtClient("ham0", f"test://{file}")
    yield opened
    opened.close()


def test_guests_are_records_sorted_by_name(node: LibvirtClient) -> None:
    assert node.fetch_guests() == (
        Guest("ham0", "db", uuid(2), "running", 1 << 30, 1),
        Guest("ham0", "old", uuid(4), "shut off", 4 << 30, 4),
        Guest("ham0", "paused", uuid(3), "paused", 1 << 30, 1),
        Guest("ham0", "web", uuid(1), "running", 2 << 30, 2),
    )


def test_active_guests_hold_memory(node: LibvirtClient) -> None:
    assert [guest.name for guest in node.fetch_guests(active=True)] == ["db", "paused", "web"]
    assert [guest.name for guest in node.fetch_guests(active=False)] == ["old"]
    assert all(guest.is_active for guest in node.fetch_guests(active=True))
    assert not any(guest.is_active for guest in node.fetch_guests(active=False))


def test_a_report_has_the_nodes_resources_and_its_running_guests(node: LibvirtClient) -> None:
    report = node.fetch_report()
    assert (report.info.pcpus, report.info.memory_bytes) == (8, 8 << 30)
    assert (report.used_bytes, report.used_vcpus) == (4 << 30, 4)
    assert 0 <= report.free_bytes <= 4 << 30


@pytest.mark.parametrize(
    ("available", "total", "free"),
    [(8, 8, 5), (2, 8, 2), (8, 2, 0)],
    ids=["less promised", "less available", "promised more than there is"],
)
def test_free_memory_is_available_and_not_promised_to_a_running_guest(available: int, total: int, free: int) -> None:
    guest = Guest("ham0", "web", uuid(1), "running", 3 << 30, 2)
    report = NodeReport(NodeInfo(8, total << 30, available << 30), (guest,))
    assert report.free_bytes == free << 30


def test_libvirts_message_is_part_of_the_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<node><memory>lots</memory></node>")
    with pytest.raises(LibvirtFault) as caught:
        LibvirtClient("ham0", f"test://{broken}")
    assert str(caught.value).startswith("ham0: libvirt: XML error: ")
    assert caught.value.power == "on"


def test_a_daemon_that_is_not_running_is_a_lost_connection(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost) as caught:
        LibvirtClient("ham0", f"qemu+unix:///system?socket={tmp_path}/none")
    assert "libvirt: Failed to connect socket to" in caught.value.fact
    assert caught.value.power == "unknown"


def test_libvirt_prints_nothing_itself(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        LibvirtClient("ham0", f"qemu+unix:///system?socket={tmp_path}/none")
    assert capfd.readouterr() == ("", "")


def test_a_connection_can_be_closed_twice(node: LibvirtClient) -> None:
    node.close()
    node.close()


def test_a_call_on_a_closed_connection_raises_a_node_fault(node: LibvirtClient) -> None:
    node.close()
    with pytest.raises((LibvirtFault, ConnectionLost)):
        node.fetch_guests()
