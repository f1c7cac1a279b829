"""The user's terminal while a guest has it."""
