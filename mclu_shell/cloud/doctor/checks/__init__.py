"""The checks, in one module for each group."""
