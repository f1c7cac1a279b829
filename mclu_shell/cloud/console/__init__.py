"""A running guest's serial console, console log and screen."""
