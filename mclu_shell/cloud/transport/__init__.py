"""Connections to a machine: TCP, SSH, forwarded sockets, processes, Wake-on-LAN."""
