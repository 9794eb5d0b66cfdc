import re

import pytest

from hw.protocol.timing import Timing, in_cycles


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nRAS": 13}, "nRAS must be at least nRCD (14 cycles), not 13"),
        ({"nRC": 46}, "nRC must be at least nRAS + nRP (48 cycles), not 46"),
        ({"nFAW": 3}, "nFAW must be at least nRRDS (4 cycles), not 3"),
        ({"nRRDL": 3}, "nRRDL must be at least nRRDS (4 cycles), not 3"),
        ({"nCCDS": 3}, "nCCDL must be at least nCCDS (3 cycles), not 2"),
        ({"nWTRS": 9}, "nWTRL must be at least nWTRS (9 cycles), not 8"),
        ({"nRTPS": 7}, "nRTPL must be at least nRTPS (7 cycles), not 6"),
        ({"nRCDWR": 35}, "nRCDWR must be at most nRAS (34 cycles), not 35"),
        ({"nRCDMAC": 13}, "nRCDMAC must be at least nRCD (14 cycles), not 13"),
        ({"nREFI": 260}, "nRFC must be below nREFI (260 cycles), not 260"),
        ({"nRFC": 5000}, "nRFC must be below nREFI (3900 cycles), not 5000"),
        ({"nRTW": 0}, "nRTW must be a positive number of cycles, not 0"),
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
        {"nRC": 47},
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


def test_row_cycle_that_rounding_made_one_short_is_the_sum():
    # 33.5, 13.5 and 47 ns at 1 ns: 34 + 14 cycles are one more than 47.
    timing = Timing(**in_cycles({"tCK": 1, "tRAS": 33.5, "tRP": 13.5, "tRC": 47}))
    assert (timing.nRC, timing.row_cycle) == (47, 48)
    assert timing.remarks() == ["nRC is 47 cycles, less than nRAS + nRP: 48 cycles are used"]
    assert Timing(nRC=48).remarks() == []
    assert (Timing(nRC=49).row_cycle, Timing(nRC=49).remarks()) == (49, [])


def test_read_to_write_is_the_longer_of_what_device_and_bus_need():
    bus = 14 + 2 + 1 - 4
    assert Timing(nRTW=None).read_to_write == bus
    assert (Timing().read_to_write, Timing().remarks()) == (14, [])
    timing = Timing(nRTW=12)
    assert timing.read_to_write == bus
    assert timing.remarks() == [
        "nRTW is 12 cycles, less than nCL + nBL + nTURN - nCWL: 13 cycles are used"
    ]


@pytest.mark.parametrize(
    ("tCK", "times", "cycles"),
    [
        (1.0, {"tRCD": 14.0}, {"nRCD": 14}),
        (1, {"tRCD": 14.001}, {"nRCD": 15}),
        (0.7, {"tRCD": 21}, {"nRCD": 30}),  # in binary, 21 / 0.7 is above 30
        (0.1, {"tRCD": 0.3}, {"nRCD": 3}),  # and 0.3 / 0.1 is below 3
        (0.3, {"tRCD": 1.2}, {"nRCD": 4}),
        (0.1, {"tRCD": 0.1}, {"nRCD": 1}),
        (1, {"tRCD": 14.0, "tRP": 1e-3}, {"nRCD": 14, "nRP": 1}),
        (0.833, {"tRCD": 14.161}, {"nRCD": 17}),
        (0.625, {"tREFI": 3900, "tRFC": 350}, {"nREFI": 6240, "nRFC": 560}),
        (0.57, {"tREFI": 1900, "tRFC": 120}, {"nREFI": 3333, "nRFC": 211}),
        (1.25, {"tRRD_S": 5.0, "tRRD_L": 5.1}, {"nRRDS": 4, "nRRDL": 5}),
        (1.25, {"tRRDS": 3.8, "tCCD_L": 2.5}, {"nRRDS": 4, "nCCDL": 2}),
        (0.5, {"tRCDMAC": 28, "tTURN": 0.5}, {"nRCDMAC": 56, "nTURN": 1}),
        (0.5, {"tRRDS": 1.9, "nRRDS": 5}, {"nRRDS": 5}),
        (0.5, {"tRRDS": 2.6, "nRRDS": 5}, {"nRRDS": 6}),
        (1, {"tREFI": 3900, "nREFI": 3800}, {"nREFI": 3800}),
    ],
)
def test_nanoseconds_are_whole_cycles(tCK, times, cycles):
    assert in_cycles({"tCK": tCK, **times}) == cycles


def test_cycles_stay_as_they_are():
    assert in_cycles({"nRCD": 14, "nonsense": "x"}) == {"nRCD": 14, "nonsense": "x"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"tRCD": 14}, "tCK must be given, in nanoseconds, beside tRCD"),
        (
            {"tCK": 1},
            "tCK must stand beside times in nanoseconds (tRCD = 14.0), but there are none",
        ),
        ({"tCK": 0, "tRCD": 14}, "tCK must be a positive number of nanoseconds, not 0"),
        ({"tCK": 1, "tRCD": -1}, "tRCD must be a positive number of nanoseconds, not -1"),
        ({"tCK": 1, "tRCD": "14"}, "tRCD must be a positive number of nanoseconds, not '14'"),
        ({"tCK": 1, "tRCD": True}, "tRCD must be a positive number of nanoseconds, not True"),
        ({"tCK": 1, "tRP": float("inf")}, "tRP must be a positive number of nanoseconds, not inf"),
        ({"tCK": float("nan"), "tRP": 1}, "tCK must be a positive number of nanoseconds, not nan"),
    ],
)
def test_nanoseconds_that_are_none(table, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        in_cycles(table)
