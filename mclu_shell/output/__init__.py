"""Results and their text and JSON renderers."""
