"""Devices that tests share: making one takes longer than most programs do."""

from functools import cache

import pytest

from hw.presets import TINY


@pytest.fixture(scope="session")
def powered():
    """Give a device of a kind, of configuration ``tiny``, at power-up; each kind is made once."""
    made = cache(lambda kind: kind(TINY))

    def power_up(kind):
        device = made(kind)
        device.reset()
        return device

    return power_up
