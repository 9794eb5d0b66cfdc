# amaranth: UnusedElaboratable=no
"""Tops refuse a configuration that they cannot be made for, before anything is elaborated."""

import re
from dataclasses import replace

import pytest

from hw.export.tops import TOPS
from hw.presets import TINY


@pytest.mark.parametrize(
    ("top", "config", "timing", "message"),
    [
        (
            *("channel_controller", {"postpone": 1}, {"nREFI": 300}),
            "postpone × nREFI must exceed the longest tile (292 cycles), not be 300",
        ),
        (
            *("channel_controller", {}, {"nBL": 4}),
            "nBL must be 2 cycles, one for each column, not 4",
        ),
        ("pim_channel", {}, {"nCWL": 2}, "nCWL must be at least 4 cycles, not 2"),
        (
            *("pim_channel", {"partial_sums": 1}, {}),
            "partial_sums × nCCDL must be above 3 cycles, the latency of the adder, not 1 × 2",
        ),
    ],
)
def test_configuration_that_a_top_cannot_be_made_for(top, config, timing, message):
    wrong = TINY.replace(timing=replace(TINY.memory.timing, **timing), **config)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TOPS[top](wrong)
