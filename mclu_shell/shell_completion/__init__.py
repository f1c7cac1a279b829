"""Completion in the user's own shell: bash, zsh or fish."""
