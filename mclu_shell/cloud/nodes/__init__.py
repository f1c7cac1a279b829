"""One machine: transport, libvirt connection, cached state and supervisor."""
