"""Template files: lookup, parameters and checks."""
