"""What a configuration refuses, in its words."""

import pytest

from hw.device import check_buildable
from hw.presets import TINY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gwrite": "page"}, r"gwrite must be 'burst' or 'row', not 'page'"),
        ({"pim_commands": "one"}, r"pim_commands must be 'gemv' or 'separate', not 'one'"),
        ({"pim_header": 2}, r"pim_header must be True or False, not 2"),
        ({"subarrays": 3}, r"subarrays must be 0 or a power of two up to rows \(1024\), not 3"),
        ({"subarrays": 2048}, r"subarrays must be 0 or .* up to rows \(1024\), not 2048"),
        ({"subarrays": -1}, r"subarrays must be a positive integer, not -1"),
        ({"postpone": 0}, r"postpone must be a positive integer, not 0"),
        ({"rows": 3}, r"rows must be a power of two, not 3"),
        ({"ranks": 0}, r"ranks must be a positive integer, not 0"),
        ({"bank_groups": 3}, r"bank_groups must be a power of two, not 3"),
        ({"slots": 0}, r"slots must be a positive integer, not 0"),
        ({"row_buffers": 3}, r"row_buffers must be 1 or 2, not 3"),
        ({"column_bytes": 2}, r"column_bytes must be at least 4, not 2"),
        (
            {"column_bytes": 256},
            r"row_bytes must be a multiple of a burst \(512 bytes, two columns\), not 128",
        ),
    ],
)
def test_impossible_value_is_rejected(changes, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        TINY.replace(**changes)


def test_ranks_may_be_any_number_and_a_device_wants_a_power_of_two():
    three = TINY.replace(ranks=3, bank_groups=4)
    assert (three.memory.banks, three.memory.groups, three.memory.page_bytes) == (48, 12, 48 * 128)
    with pytest.raises(ValueError, match=r"^ranks must be a power of two .*, not 3$"):
        check_buildable(three)
    for ranks in (1, 2, 4):
        check_buildable(TINY.replace(ranks=ranks))
