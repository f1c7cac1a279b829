"""Types of command arguments: parsing and completion."""
