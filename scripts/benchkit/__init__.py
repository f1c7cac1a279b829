"""Measurements of scripts/bench that need more than a command line."""
