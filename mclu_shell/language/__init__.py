"""The command language: parser, aliases, scripts."""
