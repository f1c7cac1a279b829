"""OpenSSH: its configuration and known_hosts files, and connections that its ssh process holds."""
