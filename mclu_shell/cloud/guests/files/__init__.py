"""Files of guests on a node: identities, backing chains, uses."""
