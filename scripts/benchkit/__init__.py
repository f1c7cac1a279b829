"""What scripts/bench measures with: the parts that need more than a command line."""
