"""A network of libvirt on a node, which assigns addresses to guests."""

from tests.lab.support.cli import virsh
from tests.lab.support.lab import RealLab

ADDRESS = "192.0.2.5"
# Other forward modes make libvirt set up a firewall.
_NETWORK = f"""
<network>
  <name>default</name><forward mode='open'/><bridge name='virbr0'/>
  <ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='{ADDRESS}' end='{ADDRESS}'/></dhcp></ip>
</network>
"""


def has_networks(lab: RealLab, node: str) -> bool:
    """Return whether a node can run networks of libvirt: it needs dnsmasq and libvirt's network driver."""
    return lab.run("sh", "-c", "command -v dnsmasq && virsh net-list", node=node).returncode == 0


def start_network(lab: RealLab, node: str) -> None:
    """Start the transient network `default`, which has the one address ADDRESS."""
    virsh(lab, node, "net-create", _write(lab, node))


def define_network(lab: RealLab, node: str) -> None:
    """Define and start the network `default`, which has the one address ADDRESS and starts with the node."""
    virsh(lab, node, "net-define", _write(lab, node))
    virsh(lab, node, "net-autostart", "default")
    virsh(lab, node, "net-start", "default")


def _write(lab: RealLab, node: str) -> str:
    lab.run("tee", "/tmp/network.xml", node=node, input=_NETWORK)
    return "/tmp/network.xml"
