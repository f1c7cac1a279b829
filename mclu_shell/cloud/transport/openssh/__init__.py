"""OpenSSH's configuration and known_hosts files."""
