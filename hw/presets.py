"""The configurations that ship with the project."""

from hw.config import Config, MemoryConfig, NpuConfig, PimConfig
from hw.protocol.timing import Timing

__all__ = ["AIM", "HBM3", "PAPER", "PRESETS", "TINY"]

#: The device of the NeuPIMs evaluation (ASPLOS 2024, section 8.1 and table 2); sizes of the tile
#: memories are chosen. docs/timing-table.md says how its timing differs from HBM2's.
PAPER = Config(
    name="paper",
    memory=MemoryConfig(
        channels=32,
        ranks=2,
        bank_groups=4,
        rows=32768,
        row_bytes=1024,
        column_bytes=32,
    ),
    pim=PimConfig(
        vector_buffer_rows=8,
        slots=16,
    ),
    npu=NpuConfig(
        array_rows=128,
        array_columns=128,
        arrays=8,
        lanes=128,
        vector_units=8,
        weight_ring_bytes=32 * 256 * 1024,
        lane_buffer_bytes=256 * 1024,
        activation_bytes=16 * 1024 * 1024,
        accumulator_rows=512,
        row_list_entries=4096,
    ),
)

#: A device small enough to run whole as RTL (chosen), with the timing of ``paper``.
TINY = Config(
    name="tiny",
    memory=MemoryConfig(
        channels=2,
        ranks=1,
        bank_groups=1,
        rows=1024,
        row_bytes=128,
        column_bytes=8,
    ),
    pim=PimConfig(
        vector_buffer_rows=4,
        slots=8,
    ),
    npu=NpuConfig(
        array_rows=4,
        array_columns=4,
        lanes=4,
        weight_ring_bytes=8 * 1024,
        lane_buffer_bytes=32 * 1024,
        activation_bytes=32 * 1024,
        accumulator_rows=8,
    ),
)

#: HBM3 at 6.4 Gb/s a pin, in cycles of its 1.6 GHz clock: HBM3_6400Mbps of Ramulator 2
#: (CMU-SAFARI/ramulator2, python/ramulator/dram/hbm3.py at commit 300e25f7), from JESD238, which
#: leaves many values to the vendor. Refresh follows from the density there: tRFC 350 ns for 8 Gb a
#: channel of a stack of 8 dies. nTURN: its nCCDR, 3 cycles from RD to RD of another stack ID, less
#: nBL.
HBM3_TIMING = Timing(
    nRCD=31,
    nRCDWR=15,
    nRP=26,
    nRAS=45,
    nRC=72,
    nRRDS=4,
    nRRDL=5,
    nFAW=24,
    nCCDS=2,
    nCCDL=4,
    nCL=20,
    nCWL=10,
    nBL=2,
    nRTW=20,
    nWR=33,
    nWTRS=7,
    nWTRL=10,
    nRTPS=9,
    nRTPL=9,
    nPPD=2,
    nREFI=6240,
    nRFC=560,
    nTURN=1,
)

#: A 16 GB stack of HBM3 (JESD238: 16 channels of two pseudo channels, BL 8, rows of 1 KB, 16 banks
#: a stack ID). Chosen: both pseudo channels of a channel work in lock step: 32 B a cycle,
#: bursts of 64 B and rows of 2 KB; a rank is a stack ID, and nTURN separates those that send. PIM
#: and the tile are those of ``paper``, but for the partial sums (chosen: results come after RD
#: data).
HBM3 = PAPER.replace(
    name="hbm3",
    channels=16,
    rows=16384,
    row_bytes=2048,
    timing=HBM3_TIMING,
    partial_sums=4,
    vector_buffer_rows=4,
)

#: GDDR6-AiM, in cycles of 1 ns, the clock of its MAC units (Lee et al., ISSCC 2022, 11.1). Values
#: of GDDR6_AiM_timing in the simulator of CENT (ASPLOS 2025; arkhadem/aim_simulator,
#: src/dram/impl/GDDR6.cpp), rounded up to whole cycles, nREFI down. What its authors measured or
#: changed counts cycles of that preset's 0.5 ns. nRRDS, nRRDL, nWTRS, nWTRL, nFAW, nRFC and nREFI
#: stand there as in the GDDR6 presets of the same file, whose cycle is 0.57 ns, and are read so:
#: 11, 11, 9, 11, 42, 210 and 3333 cycles are 6.3, 6.3, 5.1, 6.3, 23.9, 119.7 and 1,899.8 ns.
#: Chosen: nCWL, 3 there, is 4, the least that the die's registers allow; nBL and nTURN; nFAW is
#: marked "not used" there, since AiM can open all banks at once, but here PIM_ACTIVATION keeps
#: GDDR6's window.
AIM_TIMING = Timing(
    nRCD=18,
    nRCDWR=14,
    nRCDMAC=28,
    nRP=16,
    nRAS=27,
    nRC=45,
    nRRDS=7,
    nRRDL=7,
    nFAW=24,
    nCCDS=1,
    nCCDL=1,
    nCL=25,
    nCWL=4,
    nBL=2,
    nRTW=None,
    nWR=17,
    nWTRS=6,
    nWTRL=7,
    nRTPS=6,
    nRTPL=6,
    nPPD=1,
    nREFI=1899,
    nRFC=120,
    nTURN=1,
)

#: Like GDDR6-AiM (Lee et al., ISSCC 2022, 11.1; Kwon et al., Hot Chips 34): 16 Gb/s a pin, channels
#: of 16 pins and 16 banks, 16 multipliers a bank, a column a cycle, a vector buffer of one row, one
#: row buffer a bank; 32 channels as in CENT. Chosen: a burst is two of GDDR6's; slots, partial sums
#: (the adder's latency at a column a cycle), and the second half of the vector buffer; the tile is
#: that of ``paper``.
AIM = PAPER.replace(
    name="aim",
    ranks=1,
    rows=16384,
    row_bytes=2048,
    row_buffers=1,
    timing=AIM_TIMING,
    partial_sums=4,
    vector_buffer_rows=1,
)

#: Every preset by its name.
PRESETS = {preset.name: preset for preset in (PAPER, TINY, HBM3, AIM)}
