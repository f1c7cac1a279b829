"""Records of the JSON output."""
