"""The interactive shell; the only package that imports cmd2 and prompt_toolkit."""
