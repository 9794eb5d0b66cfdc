"""Speed of the compiled engine on a whole memory channel, beside Amaranth's simulator."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.config import Config
from hw.memory_channel import MemoryChannel
from hw.protocol.commands import PimOperation, pim_layout, request_layout
from sim.channel.compiled_channel import TAG_BITS
from sim.channel.workload import TileShape, sequential_requests, tiles
from sim.engine.amaranth import replay
from sim.engine.bit_fields import pack_fields
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import trace_columns

__all__ = ["Speeds", "compare_speeds"]

#: Cycles for which Amaranth's simulator runs the channel (chosen: a refresh interval is too long).
AMARANTH_CYCLES = 500


@dataclass(frozen=True, slots=True)
class Speeds:
    """Simulated cycles a second of processor time, and seconds before Amaranth's first cycle."""

    compiled: float
    amaranth: float
    construction: float


def compare_speeds(config: Config, shape: TileShape) -> Speeds:
    """Run a busy channel under both engines, and compare every output of every cycle.

    Parameters
    ----------
    shape
        Of the tiles that keep it busy, beside reads.

    Raises
    ------
    RuntimeError
        If the engines differ.
    """
    design = CompiledDesign(MemoryChannel, config, TAG_BITS, driver="stream_driver.cc")
    component = MemoryChannel(config, TAG_BITS)
    inputs = _busy_inputs(design, config, shape)
    rng = np.random.default_rng(1)
    for number, bank in enumerate(component.banks):
        words = design.memory(f"die.bank_{number}.cells.cells")
        row = rng.integers(
            0, 2**32, words[: config.memory.row_bytes // words[0].nbytes].shape, np.uint32
        )
        words[: len(row)] = row
        for place, word in enumerate(row):
            bank.cells.data.init[place] = int.from_bytes(word.tobytes(), "little")
    seconds = {}
    for cycles in (1, AMARANTH_CYCLES):
        start = time.process_time()
        expected = replay(component, inputs[:cycles])
        seconds[cycles] = time.process_time() - start
    if not np.array_equal(design.replay(inputs[:AMARANTH_CYCLES]), expected):
        raise RuntimeError("the engines differ on the memory channel")
    start = time.process_time()
    design.replay(inputs)
    return Speeds(
        compiled=len(inputs) / (time.process_time() - start),
        amaranth=(AMARANTH_CYCLES - 1) / (seconds[AMARANTH_CYCLES] - seconds[1]),
        construction=seconds[1],
    )


def _busy_inputs(design: CompiledDesign, config: Config, shape: TileShape) -> NDArray[np.uint32]:
    """Return inputs that keep a channel busy: reads, and tiles of row 0 with random vectors."""
    tile = tiles(config, 1, shape, header=False)
    tile["row"] = 0
    vector = np.zeros(config.memory.columns // 2, tile.dtype)
    vector["operation"] = PimOperation.GWRITE.value
    vector["offset"] = 2 * np.arange(len(vector))
    vector["data"] = np.random.default_rng(2).integers(0, 256, vector["data"].shape, np.uint8)
    operations = np.concatenate([vector, tile])
    requests = sequential_requests(config, 16 * 1024)
    requests["row"] += 1
    ports = {
        "i_pim__payload": pack_fields(pim_layout(config), np.tile(operations, 400)),
        "i_requests__payload": pack_fields(request_layout(config, TAG_BITS), requests),
    }
    columns, width = trace_columns(design.inputs)
    inputs = np.zeros((min(len(words) for words in ports.values()), width), np.uint32)
    for name, words in ports.items():
        inputs[:, columns[name]] = words[: len(inputs)]
    for name in ("i_pim__valid", "i_requests__valid"):
        inputs[:, columns[name]] = 1
    return inputs
