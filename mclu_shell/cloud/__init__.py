"""The doing layer, usable as a library: nodes, guests and what can be done with them; it prints nothing."""
