"""Tests of the discovery of nodes."""
