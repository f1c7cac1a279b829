"""Connections of an open shell, shared with one-shot commands of the same user."""
