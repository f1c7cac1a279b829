"""New guests: plan, build on the node, define, start, roll back."""
