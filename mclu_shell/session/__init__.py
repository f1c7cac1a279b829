"""Running lines: commands, scripts, and programs of the user's shell."""
