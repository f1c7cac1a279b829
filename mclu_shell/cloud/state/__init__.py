"""Cached knowledge of nodes and guests: records, snapshots, alerts."""
