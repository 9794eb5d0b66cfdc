import re

import pytest

from hw.protocol.timing import Timing


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nRAS": 13}, "nRAS must be at least nRCD (14 cycles), not 13"),
        ({"nRC": 47}, "nRC must be at least nRAS + nRP (48 cycles), not 47"),
        ({"nFAW": 3}, "nFAW must be at least nRRDS (4 cycles), not 3"),
        ({"nRRDL": 3}, "nRRDL must be at least nRRDS (4 cycles), not 3"),
        ({"nCCDS": 3}, "nCCDL must be at least nCCDS (3 cycles), not 2"),
        ({"nWTRS": 9}, "nWTRL must be at least nWTRS (9 cycles), not 8"),
        ({"nRTPS": 7}, "nRTPL must be at least nRTPS (7 cycles), not 6"),
        ({"nRCDWR": 35}, "nRCDWR must be at most nRAS (34 cycles), not 35"),
        ({"nRCDMAC": 13}, "nRCDMAC must be at least nRCD (14 cycles), not 13"),
        ({"nREFI": 260}, "nREFI must be above nRFC (260 cycles), not 260"),
        ({"nCL": 0}, "nCL must be a positive number of cycles, not 0"),
        ({"nWR": -1}, "nWR must be a positive number of cycles, not -1"),
        ({"nRP": 1.5}, "nRP must be a positive number of cycles, not 1.5"),
        ({"nBL": True}, "nBL must be a positive number of cycles, not True"),
        ({"nRC": 0}, "nRC must be a positive number of cycles, not 0"),
        ({"nRP": None}, "nRP must be a positive number of cycles, not None"),
    ],
)
def test_timing_that_contradicts_itself(fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Timing(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"nRAS": 14, "nRC": 28},
        {"nRC": 48},
        {"nFAW": 4},
        {"nRRDL": 4},
        {"nCCDS": 2},
        {"nRCDWR": 34},
        {"nRCDMAC": 14},
        {"nREFI": 261},
    ],
)
def test_timing_at_the_limit(fields):
    assert Timing(**fields)


def test_parameters_that_follow_from_others():
    timing = Timing(nRCD=10, nRAS=30, nRP=11)
    assert (timing.row_cycle, timing.write_delay, timing.product_delay) == (41, 10, 10)
    timing = Timing(nRC=50, nRCDWR=8, nRCDMAC=20)
    assert (timing.row_cycle, timing.write_delay, timing.product_delay) == (50, 8, 20)
