"""Nodes that try to harm mclu."""
