"""The user's own shell: what it is told where Tab is pressed behind `mclu`, and how it comes to ask."""
