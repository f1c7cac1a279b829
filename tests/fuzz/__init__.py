"""Fuzzing of everything that parses data of nodes and guests."""
