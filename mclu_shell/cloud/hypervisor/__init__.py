"""libvirt: connections, events and domain XML."""
