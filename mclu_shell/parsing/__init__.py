"""Parsers for data of nodes and guests, with limits on size and depth. They take time linear in their input."""
