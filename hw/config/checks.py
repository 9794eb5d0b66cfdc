"""What several parts of a configuration demand of their fields."""

from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any

__all__ = ["check_choice", "check_counts", "check_powers_of_two", "is_power_of_two"]


def is_power_of_two(value: int) -> bool:
    """Return whether a number is a power of two.

    >>> [n for n in range(10) if is_power_of_two(n)]
    [1, 2, 4, 8]
    """
    return value > 0 and value & (value - 1) == 0


def check_counts(
    part: Any, *, others: Collection[str] = (), may_be_zero: Iterable[str] = ()
) -> None:
    """Check that every field but ``others`` is a positive integer, or zero where that is allowed.

    Raises
    ------
    ValueError
        If one is not.
    """
    zero = set(may_be_zero)
    for item in fields(part):
        if item.name in others:
            continue
        value = getattr(part, item.name)
        least = 0 if item.name in zero else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{item.name} must be a positive integer, not {value!r}")


def check_powers_of_two(part: Any, names: Iterable[str]) -> None:
    """Check that fields are powers of two; ValueError if one is not."""
    for name in names:
        value = getattr(part, name)
        if not is_power_of_two(value):
            raise ValueError(f"{name} must be a power of two, not {value!r}")


def check_choice(part: Any, name: str, choices: Collection[object]) -> None:
    """Check that a field has one of a few values; ValueError if it has not."""
    value = getattr(part, name)
    if not any(
        value is choice or (value == choice and type(value) is type(choice)) for choice in choices
    ):
        words = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {words}, not {value!r}")
