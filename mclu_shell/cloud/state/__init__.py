"""The known state of nodes and guests: records, snapshots, disk cache, alerts. No network I/O."""
