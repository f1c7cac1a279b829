"""Nodes: transport, libvirt connection and last known state of one machine, and the supervisor of all."""
