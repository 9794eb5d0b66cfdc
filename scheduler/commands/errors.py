"""What a user may get wrong, in one line."""

__all__ = ["UsageError"]


class UsageError(Exception):
    """Something given to a command is unusable: the message names it and what it must be."""
