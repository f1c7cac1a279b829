"""The command language: lexer, parser, aliases, scripts."""
