"""The examination of nodes: facts, checks, findings with remedies, and repairs."""
