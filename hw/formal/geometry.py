"""Channels small enough to be proven: the least sizes, and timing of a few cycles."""

from dataclasses import replace

from hw.config import Config, ControllerConfig, MemoryConfig, NpuConfig, PimConfig
from hw.protocol.timing import Timing

__all__ = [
    "BLOCKED",
    "BRISK",
    "GEOMETRIES",
    "ONE_RANK",
    "SOON",
    "TWO_GROUPS",
    "TWO_RANKS",
    "TWO_SLOTS",
    "WHOLE_ROWS",
]

#: The least that the pipelines of the die allow (chosen): nRCD 3, nCWL 4, nCL 7, nBL 2. All others
#: differ as they do in ``paper``: S below L, nRAS above nRCD, nFAW above four times nRRDS.
#: nREFI leaves room for the longest tile and little more.
_TIMING = Timing(
    nRCD=3,
    nRP=2,
    nRAS=5,
    nRRDS=2,
    nRRDL=3,
    nFAW=9,
    nCCDS=1,
    nCCDL=2,
    nCL=7,
    nCWL=4,
    nBL=2,
    nRTW=None,
    nWR=2,
    nWTRS=2,
    nWTRL=3,
    nRTPS=2,
    nRTPL=2,
    nREFI=44,
    nRFC=6,
    nTURN=1,
)

#: Four banks of two rows of one burst; queues of two, one accumulator.
ONE_RANK = Config(
    name="one rank",
    memory=MemoryConfig(
        channels=1,
        ranks=1,
        bank_groups=1,
        rows=2,
        row_bytes=8,
        column_bytes=4,
        timing=_TIMING,
    ),
    pim=PimConfig(
        vector_buffer_rows=1,
        slots=1,
        partial_sums=4,
    ),
    npu=NpuConfig(
        array_rows=1,
        array_columns=1,
        lanes=1,
        weight_ring_bytes=64,
        lane_buffer_bytes=64,
        activation_bytes=64,
        accumulator_rows=1,
    ),
    controller=ControllerConfig(
        read_queue=2,
        write_queue=2,
        write_high=2,
        write_low=1,
        age=8,
        postpone=1,
    ),
)

#: With more banks or longer GEMVs, the longest tile needs more time between two refreshes.
_WIDER = ONE_RANK.replace(timing=replace(_TIMING, nREFI=72))
TWO_RANKS = _WIDER.replace(name="two ranks", ranks=2)
TWO_SLOTS = _WIDER.replace(name="two slots", slots=2, row_bytes=16)
TWO_GROUPS = _WIDER.replace(name="two groups", bank_groups=2)
BLOCKED = ONE_RANK.replace(name="one row buffer", row_buffers=1)

#: A GWRITE from a row takes all of it, which outlasts one burst.
WHOLE_ROWS = TWO_SLOTS.replace(name="two slots, whole rows", gwrite="row")

#: What may be short is shorter, so that a request waits for few cycles: a search reaches further
#: than that. ``age`` lasts longer than a decision, or the next write would be aged before its turn
#: could end.
BRISK = ONE_RANK.replace(
    name="brisk",
    timing=replace(
        _TIMING,
        nRP=1,
        nRAS=4,
        nRRDS=1,
        nRRDL=1,
        nFAW=4,
        nWR=1,
        nWTRS=1,
        nWTRL=1,
        nRTPS=1,
        nRTPL=1,
        nREFI=40,
        nRFC=2,
    ),
    age=4,
)

#: Results come soon after their columns and take few cycles on the data bus: what the proofs about
#: that bus have to remember is less. Two results cannot meet there, though.
SOON = BRISK.replace(name="brisk, two partial sums", column_bytes=8, row_bytes=16, partial_sums=2)

#: Every geometry by its name.
GEOMETRIES = {
    g.name: g
    for g in (ONE_RANK, TWO_RANKS, TWO_GROUPS, TWO_SLOTS, WHOLE_ROWS, BLOCKED, BRISK, SOON)
}
