"""The exception that the command line prints as one line."""


class LabError(Exception):
    """An error of the lab; its text follows `lab: `."""
