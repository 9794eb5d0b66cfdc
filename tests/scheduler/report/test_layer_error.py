"""Errors of the device against float64 are small, and grow block by block."""

import pytest

from hw.presets import TINY
from scheduler.models.weights import load_weights
from scheduler.report.layer_error import layer_errors


@pytest.mark.parametrize("model", ["tiny-gpt", "tiny-llama"])
def test_errors_are_those_of_bfloat16(model):
    rows = layer_errors(TINY, load_weights(model), b"The river")
    assert [row.place for row in rows] == ["block 0", "block 1", "logits"]
    for row in rows:
        # operands are rounded to 2^-9; nothing is exact, nothing is lost
        assert 2**-14 < row.error / row.size < 2**-5
        assert row.error < row.largest < 0.5
