"""What a user may get wrong, in one line."""

__all__ = ["UsageError", "os_error_text"]


class UsageError(Exception):
    """Something given to a command is unusable: the message names it and what it must be."""


def os_error_text(error: OSError) -> str:
    """Return in a line what the system refused, and of which file.

    >>> os_error_text(OSError(28, "No space left on device", "out/x.json"))
    "'out/x.json' must be a file that can be used (No space left on device)"
    """
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"the system refused: {reason}"
    return f"{error.filename!r} must be a file that can be used ({reason})"
