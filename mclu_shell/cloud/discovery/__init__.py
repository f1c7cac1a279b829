"""Discovery of nodes: hosts of the SSH configuration, their network cards, and a mclu.conf for them."""
