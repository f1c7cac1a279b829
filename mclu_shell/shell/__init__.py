"""The interactive shell: the only importer of cmd2 and prompt_toolkit."""
