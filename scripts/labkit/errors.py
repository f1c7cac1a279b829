"""The one exception that a user of the lab is meant to see, as one line."""


class LabError(Exception):
    """What went wrong, in words fit for `lab: WORDS`."""
