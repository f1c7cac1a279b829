"""One module per command, named as typed."""
