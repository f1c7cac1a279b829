"""Template files: queries and checks."""
