"""The reference: a program interpreted in NumPy, instruction by instruction, bit for bit.

Instructions are executed one after the other in the program's total order, by the golden models of
the units. There is no time and no parallelism: if the device computes anything else, either a unit
or the order that tokens impose is wrong.
"""

from collections import deque
from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import numpy.typing as npt

from hw.arith import bf16
from hw.arith.binary32 import tree_sum
from hw.config import Config
from hw.die.mac_unit import accumulate_golden
from hw.npu.matrix.systolic_array import gemm_golden
from hw.npu.vector import golden
from hw.program.instruction_set import (
    LANE_SPACE,
    Element,
    Format,
    Function,
    Norm,
    Opcode,
    Queue,
    Reduce,
)
from hw.program.program import Program, queue_kind

__all__ = ["Reference"]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Record = Mapping[str, int]


class Reference:
    """A device without time: its memories, and what each instruction does to them.

    Attributes
    ----------
    dram
        One array of bytes a channel.
    activations, lanes, ring
        Memories of the tile: bytes.
    accumulators
        Both halves, ``float32[2, rows, columns]``.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.dram = [
            np.zeros(config.memory.channel_bytes, np.uint8) for _ in range(config.memory.channels)
        ]
        self.activations = np.zeros(config.npu.activation_bytes, np.uint8)
        self.lanes = [np.zeros(config.npu.lane_buffer_bytes, np.uint8) for _ in self.dram]
        self.ring = np.zeros(config.npu.weight_ring_bytes, np.uint8)
        self.accumulators = np.zeros(
            (2, config.npu.accumulator_rows, config.npu.tile_columns), dtype=np.float32
        )
        self._weights: deque[tuple[Floats, npt.NDArray[np.bool]]] = deque()  # with valid rows
        self._vectors = np.zeros(
            (config.memory.channels, 2, config.vector_columns, config.mac_lanes), np.uint16
        )
        self._sums = np.zeros(
            (
                config.memory.channels,
                config.memory.banks,
                config.pim.slots,
                config.pim.partial_sums,
            ),
            np.float32,
        )
        self._counts = np.zeros((config.memory.channels, config.pim.slots), np.int64)
        self._row_lists: list[np.ndarray] = []

    def copy(self) -> "Reference":
        """Return an independent reference in the same state."""
        return deepcopy(self)

    def memories(self) -> dict[str, Bytes]:
        """Return the contents of all memories by name: the names of :meth:`Device.memories`."""
        lanes = {f"lane buffer {channel}": lane for channel, lane in enumerate(self.lanes)}
        dram = {f"channel {channel}": memory for channel, memory in enumerate(self.dram)}
        return {"activation memory": self.activations, **lanes, **dram}

    def write(self, channel: int, address: int, content: bytes) -> None:
        """Write bytes of a memory channel."""
        self.dram[channel][address : address + len(content)] = np.frombuffer(content, np.uint8)

    def run(self, program: Program, stop: int | None = None) -> dict[str, bytes]:
        """Execute a program and return its outputs.

        Parameters
        ----------
        program
            What to execute.
        stop
            The first place in the total order that is not executed; None executes everything.
        """
        for block, content in program.inputs:
            self.write(block.channel, block.address, content)
        self._row_lists = program.row_lists
        orders = np.concatenate([stream["order"] for stream in program.streams])
        queues = np.repeat(np.arange(len(program.streams)), [len(s) for s in program.streams])
        indices = np.concatenate([np.arange(len(stream)) for stream in program.streams])
        sequence = np.argsort(orders, kind="stable")
        if stop is not None:
            sequence = sequence[orders[sequence] < stop]
        places = list(zip(queues[sequence].tolist(), indices[sequence].tolist(), strict=True))
        position = 0
        while position < len(places):
            queue, index = places[position]
            stream = program.streams[queue]
            if stream["opcode"][index] == Opcode.WEIGHTS:
                count = _gemm_run(stream, index, len(places) - position)
                if count:
                    self._gemms(stream[index : index + 2 * count])
                    position += 2 * count
                    continue
            names = stream.dtype.names or ()
            record = dict(zip(names, stream[index].tolist(), strict=True))
            self._execute(queue, record)
            position += 1
        return {
            name: self.dram[b.channel][b.address : b.address + b.nbytes].tobytes()
            for name, b in program.outputs.items()
        }

    def _execute(self, queue: int, record: Record) -> None:
        opcode = Opcode(record["opcode"])
        kind = queue_kind(queue)
        if opcode in (Opcode.END, Opcode.ALLREDUCE):
            return
        if opcode in (Opcode.LOAD, Opcode.STORE) and not record["rows"] * record["bursts"]:
            return
        if opcode is Opcode.LOAD and kind is Queue.LOAD:
            self._load_weights(record)
        elif opcode in (Opcode.LOAD, Opcode.STORE):
            self._move(record, store=opcode is Opcode.STORE)
        elif opcode is Opcode.LOAD_PAGES:
            self._load_pages(record)
        elif opcode is Opcode.WEIGHTS:
            depths = np.array([record["depth"]])
            weights = self._weight_tiles(np.array([record["ring"]]), depths)[0]
            self._weights.append((weights, self._valid_rows(depths)[0]))
        elif opcode is Opcode.GEMM:
            self._gemm(record)
        elif opcode is Opcode.DRAIN:
            sums = self.accumulators[record["half"], : record["rows"]].copy()
            sums[:, record["columns"] or sums.shape[1] :] = 0
            self._put(record["address"], record["stride"], record["format"], sums)
        elif opcode is Opcode.VECTOR:
            self._vector(queue - Queue.PIM, record)
        elif opcode is Opcode.GEMV:
            self._gemv(queue - Queue.PIM, record)
        else:
            self._vector_unit(opcode, record)

    # Memories.

    def _view(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], kind: str):
        """Return a window on a tile memory."""
        if address & LANE_SPACE:
            memory, offset = self.lanes[(address ^ LANE_SPACE) >> 20], address & 0xFFFFF
        else:
            memory, offset = self.activations, address
        return np.ndarray(shape, kind, memory, offset, strides)

    def _get(self, address: int, stride: int, number_format: int, rows: int, n: int) -> Floats:
        if number_format == Format.BINARY32:
            return np.array(self._view(address, (rows, n), (stride, 4), "<f4"))
        return bf16.from_bits(self._view(address, (rows, n), (stride, 2), "<u2"))

    def _put(self, address: int, stride: int, number_format: int, values: Floats) -> None:
        if number_format == Format.BINARY32:
            self._view(address, values.shape, (stride, 4), "<f4")[...] = values
        else:
            self._view(address, values.shape, (stride, 2), "<u2")[...] = bf16.to_bits(values)

    # Loads and stores.

    def _load_weights(self, record: Record) -> None:
        config = self.config
        shape = (record["rows"], record["bursts"] * config.memory.burst_bytes)
        shares = [
            np.ndarray(shape, np.uint8, memory, record["address"], (record["stride"], 1))
            for memory in self.dram
        ]
        stacked = np.stack([s.reshape(-1, config.memory.burst_bytes) for s in shares], axis=1)
        places = (record["ring"] + np.arange(stacked.size)) % len(self.ring)
        self.ring[places] = stacked.reshape(-1)

    def _move(self, record: Record, *, store: bool) -> None:
        shape = (record["rows"], record["bursts"] * self.config.memory.burst_bytes)
        for channel in range(self.config.memory.channels):
            if not record["lanes"] >> channel & 1:
                continue
            outside = np.ndarray(
                shape, np.uint8, self.dram[channel], record["address"], (record["stride"], 1)
            )
            inside = np.ndarray(
                shape,
                np.uint8,
                self.lanes[channel],
                record["lane_address"],
                (record["lane_stride"], 1),
            )
            if store:
                outside[...] = inside
            else:
                inside[...] = outside

    def _load_pages(self, record: Record) -> None:
        config = self.config
        rows, length = record["rows"], record["bursts"] * config.memory.burst_bytes
        for channel in range(config.memory.channels):
            if not record["lanes"] >> channel & 1:
                continue
            listed = self._row_lists[channel][record["list"] : record["list"] + record["pages"]]
            inside = record["address"] + np.arange(rows) * record["stride"]
            sources = np.add.outer(listed.astype(np.int64) * config.memory.page_bytes, inside)
            for index, source in enumerate(sources.ravel().tolist()):
                target = record["lane_address"] + index * record["lane_stride"]
                piece = self.dram[channel][source : source + length]
                self.lanes[channel][target : target + length] = piece

    # Matrix unit.

    def _valid_rows(self, depths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool]:
        """Return which rows of weight tiles are valid, ``bool[tiles, array_rows]``."""
        rows: npt.NDArray[np.bool] = np.arange(self.config.npu.array_rows) < depths[:, None]
        return rows | (depths[:, None] == 0)

    def _weight_tiles(
        self, addresses: npt.NDArray[np.int64], depths: npt.NDArray[np.int64]
    ) -> Floats:
        config = self.config
        places = addresses[:, None] + np.arange(config.npu.weight_tile_bytes)
        tiles = self.ring[places % len(self.ring)].view("<u2")
        tiles = tiles.reshape(-1, config.npu.array_rows, config.npu.tile_columns)
        return bf16.from_bits(np.where(self._valid_rows(depths)[:, :, None], tiles, 0))

    def _gemm(self, record: Record) -> None:
        rows, half = record["rows"], record["half"]
        activations = self._get(
            record["address"], record["stride"], Format.BF16, rows, self.config.npu.array_rows
        )
        start = self.accumulators[half, :rows] if record["accumulate"] else None
        weights, valid = self._weights.popleft()
        activations = np.where(valid, activations, np.float32(0))
        self.accumulators[half, :rows] = gemm_golden(activations[None], weights[None], start)

    def _gemms(self, records: np.ndarray) -> None:
        """Execute a chain of WEIGHTS and GEMM pairs on the same accumulators at once."""
        gemms = records[1::2]
        rows, half, stride = (int(gemms[name][0]) for name in ("rows", "half", "stride"))
        depths = records["depth"][0::2].astype(np.int64)
        weights = self._weight_tiles(records["ring"][0::2].astype(np.int64), depths)
        first = gemms["address"].astype(np.int64)
        places = first[:, None, None] + np.arange(rows)[:, None] * stride
        bytes_of_row = places + np.arange(self.config.npu.array_rows * 2)
        found = self.activations[bytes_of_row].view("<u2")
        activations = bf16.from_bits(np.where(self._valid_rows(depths)[:, None], found, 0))
        start = self.accumulators[half, :rows] if gemms["accumulate"][0] else None
        self.accumulators[half, :rows] = gemm_golden(activations, weights, start)

    # PIM.

    def _vector(self, channel: int, record: Record) -> None:
        config = self.config
        columns = 2 * record["bursts"]
        values = np.ndarray(
            (record["rows"], columns, config.mac_lanes),
            "<u2",
            self.lanes[channel],
            record["lane_address"],
            (record["lane_stride"], config.memory.column_bytes, 2),
        )
        half = self._vectors[channel, record["half"]]
        for row in range(record["rows"]):
            start = record["offset"] + row * record["offset_row"]
            half[start : start + columns] = values[row]

    def _gemv(self, channel: int, record: Record) -> None:
        config = self.config
        tiles, gemvs, slots, k = (record[name] for name in ("tiles", "gemvs", "slots", "k"))
        rows = self._row_lists[channel][record["list"] : record["list"] + tiles].astype(np.int64)
        cells = self.dram[channel].view("<u2")
        cells = cells.reshape(
            config.memory.rows, config.memory.banks, config.memory.columns, config.mac_lanes
        )
        g, s, j = np.ogrid[:gemvs, :slots, :k]
        used = g // max(record["queries"], 1)
        column = record["column"] + used * record["column_gemv"] + s * record["column_step"] + j
        offset = record["offset"] + g * record["offset_gemv"] + s * record["offset_step"] + j
        offset = offset + np.arange(tiles)[:, None, None, None] * record["offset_tile"]
        data = bf16.from_bits(cells[rows][:, :, column])
        vector = bf16.from_bits(self._vectors[channel, record["half"]][offset])[:, None]
        slot = (record["slot"] + g * record["slot_gemv"] + s)[:, :, 0]
        if record["read"] == 1:
            sums = self._sums[channel][:, slot]
            if self._counts[channel, slot].any():
                raise ValueError(f"slots must be clear before a GEMV that reads, not {record}")
            sums = accumulate_golden(sums, 0, data, vector)
            self._results(channel, record, tree_sum(sums))
            return
        if len(np.unique(slot)) < slot.size or len(set(self._counts[channel, slot].flat)) > 1:
            raise ValueError(f"slots of a GEMV must be distinct and equally full, not {record}")
        count = int(self._counts[channel, slot[0, 0]])
        data = np.moveaxis(data, 0, 3).reshape(config.memory.banks, gemvs, slots, tiles * k, -1)
        vector = np.moveaxis(vector, 0, 3).reshape(1, gemvs, slots, tiles * k, -1)
        sums = accumulate_golden(self._sums[channel][:, slot], count, data, vector)
        self._sums[channel][:, slot] = sums
        self._counts[channel, slot] += tiles * k
        if record["read"]:
            self._results(channel, record, tree_sum(sums)[None])
            self._sums[channel][:, slot] = 0
            self._counts[channel, slot] = 0

    def _results(self, channel: int, record: Record, results: Floats) -> None:
        """Write results ``[tiles, banks, gemvs, slots]`` to the lane buffer."""
        tiles, banks, gemvs, slots = results.shape
        strides = (record["lane_tile"], 4, record["lane_gemv"], record["lane_slot"])
        start = record["lane_address"]
        window = np.ndarray(
            (tiles, banks, gemvs, slots), "<f4", self.lanes[channel], start, strides
        )
        window[...] = results

    # Vector unit.

    def _vector_unit(self, opcode: Opcode, r: Record) -> None:
        rows, n = r["rows"], r["n"]
        if not rows or not n:
            return
        lanes, partial_sums = self.config.npu.lanes, self.config.npu.vector_partial_sums

        def get(name: str) -> Floats:
            return self._get(r[name], r[f"{name}_stride"], r[f"{name}_format"], rows, n)

        def put(values: Floats) -> None:
            self._put(r["o"], r["o_stride"], r["o_format"], values)

        def row(address: int) -> Floats:
            return self._get(address, 0, r["b_format"], 1, n)[0]

        x, y = (float(np.array(r[name], np.uint32).view(np.float32)) for name in "xy")
        if opcode is Opcode.ELEMENTWISE:
            function = Element(r["function"])
            put(golden.elementwise(function, get("a"), get("b") if function else None))
        elif opcode is Opcode.FUNCTION:
            put(golden.function(Function(r["function"]), get("a")))
        elif opcode is Opcode.NORM and r["function"] == Norm.RMS:
            put(
                golden.norm_rms(
                    get("a"),
                    row(r["b"]),
                    inv_n=x,
                    epsilon=y,
                    lanes=lanes,
                    partial_sums=partial_sums,
                )
            )
        elif opcode is Opcode.ROTARY:
            heads = r["m"]
            a = self._get(r["a"], r["a_stride"], r["a_format"], rows, heads * n)
            put(golden.rotary(a.reshape(rows, heads, n), get("b")).reshape(rows, heads * n))
        elif opcode is Opcode.REDUCE:
            values = np.zeros((rows, lanes), np.float32)
            values[:, 0] = golden.reduce(
                *(Reduce(r["function"]), get("a")),
                scale=x,
                lanes=lanes,
                partial_sums=partial_sums,
            )
            put(values)
        elif opcode is Opcode.NORM:
            put(
                golden.norm_layer(
                    get("a"),
                    row(r["b"]),
                    row(r["c"]),
                    inv_n=x,
                    epsilon=y,
                    lanes=lanes,
                    partial_sums=partial_sums,
                )
            )
        elif opcode is Opcode.SOFTMAX:
            logits = self._get(r["a"], r["a_stride"], Format.BINARY32, rows, n)
            weights = golden.softmax(logits, x, lanes=lanes, partial_sums=partial_sums)
            padding = -n % self.config.npu.lanes
            self._put(r["o"], r["o_stride"], Format.BF16, np.pad(weights, [(0, 0), (0, padding)]))
        elif opcode is Opcode.TAIL:
            m = r["m"]
            a = None
            if r["function"]:
                a = self._get(r["a"], r["a_stride"], Format.BINARY32, rows, n)
            b = self._get(r["b"], r["b_stride"], Format.BF16, rows, m)
            c = self._get(r["c"], r["c_stride"], Format.BF16, m, rows * n)
            put(golden.tail(a, b, c, partial_sums=partial_sums))
        elif opcode is Opcode.ARGMAX:
            logits = self._get(r["a"], r["a_stride"], Format.BINARY32, rows, n)
            chosen = np.zeros((rows, self.config.npu.lanes), np.uint32)
            chosen[:, 0] = golden.argmax(logits)
            self._view(r["o"], chosen.shape, (r["o_stride"], 4), "<u4")[...] = chosen
        elif opcode is Opcode.TRANSPOSE:
            bits = self._view(r["a"], (rows, n), (r["a_stride"], 2), "<u2").copy()
            for start in range(0, n, self.config.memory.banks):
                columns = bits[:, start : start + self.config.memory.banks].T
                place = r["o"] + start // self.config.memory.banks * r["c_stride"]
                self._view(place, columns.shape, (r["o_stride"], 2), "<u2")[...] = columns
        else:
            raise ValueError(f"opcode must be one of the vector unit, not {opcode.name}")


def _gemm_run(stream: np.ndarray, index: int, limit: int) -> int:
    """Return how many WEIGHTS and GEMM pairs from ``index`` on can be executed at once."""
    window = stream[index : index + min(limit, 512)]
    count = len(window) // 2
    if not count:
        return 0
    weights, gemms = window[0 : 2 * count : 2], window[1 : 2 * count : 2]
    good = (weights["opcode"] == Opcode.WEIGHTS) & (gemms["opcode"] == Opcode.GEMM)
    good &= gemms["order"] == gemms["order"][0] + 2 * np.arange(count)
    good &= weights["order"] + 1 == gemms["order"]
    for name in ("rows", "half", "stride"):
        good &= gemms[name] == gemms[name][0]
    good[1:] &= gemms["accumulate"][1:] == 1
    return int(np.argmin(good)) if not good.all() else count
