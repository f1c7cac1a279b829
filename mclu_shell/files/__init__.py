"""Local files of the user."""
