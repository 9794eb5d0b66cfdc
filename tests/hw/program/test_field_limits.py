"""Sizes that the fields of instructions can name, and no larger ones."""

import re

import pytest

from hw.device import check_buildable
from hw.presets import PAPER, PRESETS, TINY
from hw.program.field_limits import check_field_limits
from hw.program.instruction_set import TOKEN_BITS, Queue, field_bits

#: A ring in which there is room for four weight tiles of any height.
ROOMY = TINY.replace(weight_ring_bytes=1 << 20)

#: Field of the configuration, the largest size that can be named, what messages say.
LIMITS = [
    ("row_list_entries", 1 << 16, "row_list_entries must be at most 65536, .* not 131072"),
    ("weight_ring_bytes", 1 << 24, "weight_ring_bytes must be at most 16777216, .* not 33554432"),
    ("activation_bytes", 1 << 29, "activation_bytes must be at most 536870912, .* not 1073741824"),
    ("lane_buffer_bytes", 1 << 24, "lane_buffer_bytes must be at most 16777216, .* not 33554432"),
    ("array_rows", 256, "array_rows must be at most 256, .* (depth of the matrix queue, 8 bits)"),
    ("rows", 1 << 16, "rows must be at most 65536, .* not 131072"),
    ("slots", 64, "slots must be at most 64, .* (slot of the pim queue, 6 bits), not 128"),
]


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_presets_can_be_named(config):
    check_field_limits(config)


@pytest.mark.parametrize(("name", "most", "message"), LIMITS, ids=[limit[0] for limit in LIMITS])
def test_a_size_may_reach_its_limit_and_no_more(name, most, message):
    check_field_limits(ROOMY.replace(**{name: most}))
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(ValueError, match=f"^{pattern}"):
        check_field_limits(ROOMY.replace(**{name: 2 * most}))
    with pytest.raises(ValueError, match=f"^{pattern}"):
        check_buildable(ROOMY.replace(**{name: 2 * most}))


def test_a_channel_of_more_than_a_gigabyte_has_no_addresses():
    check_field_limits(PAPER)
    with pytest.raises(ValueError, match=r"^bytes of a channel must be at most 1073741824, "):
        check_field_limits(PAPER.replace(rows=2 * PAPER.memory.rows))


@pytest.mark.parametrize(
    ("queue", "name", "needed"),
    [
        # batches of 512, contexts of 8192, GPT3-175B whole: d_model 12,288 and 96 heads
        (Queue.STORE, "lane_address", 2 * (6 * 8192 * 96 + 16 * 3 * 12288 * 2)),
        (Queue.TAIL, "bursts", (1 << 24) // 64 - 1),
        (Queue.TAIL, "rows", 512),
        (Queue.TAIL, "pages", 8192 // 4),
        (Queue.PIM, "tiles", 8192 // 4),
        (Queue.MATRIX, "address", 6 * (12288 + 3 * 12288 + 4 * 12288) * 512),
        (Queue.MATRIX, "stride", 50257 * 4),
        (Queue.MATRIX, "rows", 512),
        (Queue.EPILOGUE, "rows", 512),
        (Queue.EPILOGUE, "n", 50257),
        (Queue.EPILOGUE, "m", 96),
        (Queue.EPILOGUE, "o_stride", 50257 * 4),
    ],
)
def test_fields_hold_what_the_largest_workload_needs(queue, name, needed):
    assert needed < 1 << field_bits(queue, name)


def test_a_counter_holds_a_token_of_every_row_of_a_batch():
    assert 1 << TOKEN_BITS > 512
