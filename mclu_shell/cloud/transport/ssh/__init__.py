"""SSH to a node: the choice of the connection, and what all connections have in common."""
