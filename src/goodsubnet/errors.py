"""The one exception that people are meant to read."""


class UserError(Exception):
    """Something the user can fix: the message names the key or file, what is wrong, and what to do."""
