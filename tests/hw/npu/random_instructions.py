"""Instructions with random operands, each legal behind those drawn before it."""

import numpy as np

from hw.npu.memories.weight_ring import piece_bytes, stripe_bytes
from hw.program.bounds import outside
from hw.program.instruction_set import Format, Opcode, Queue, lane_tile_address
from scheduler.compiler.attention.pim_tile import tile_cycles
from tests.hw.npu.random_vector_operands import IN_PLACE, VARIANTS, vector_operands

__all__ = ["RandomInstructions"]

#: How often each kind of instruction is drawn, relative to the others.
SHARES = {"load": 2, "tail": 3, "store": 3, "matrix": 6, "vector": 8, "pim": 5, "link": 1}


class RandomInstructions:
    """Draws instructions and emits them.

    Operands are drawn until they lie in their memories, and an instruction does not write what it
    reads or twice the same bytes; a result may take the place of operand a.

    Parameters
    ----------
    config
        The device.
    rng
        Source of all chance.
    generator
        Takes the instructions.
    """

    def __init__(self, config, rng, generator):
        self.config = config
        self.rng = rng
        self.generator = generator
        self._weights = False  # a tile of weights waits for its GEMM
        self._sums = [None] * config.memory.channels  # the GEMV whose sums wait in the slots

    def prologue(self):
        """Fill the first bytes of every memory, so that there is something to work on."""
        config = self.config
        every = (1 << config.memory.channels) - 1
        size = 512
        whole = {"bursts": 1, "stride": config.memory.burst_bytes}
        fields = {"opcode": Opcode.LOAD, "lanes": every, "lane_stride": config.memory.burst_bytes}
        rows = size // config.memory.burst_bytes
        self.generator.emit(Queue.TAIL, fields | whole | {"rows": rows})
        rows = size // stripe_bytes(config)
        self.generator.emit(
            Queue.LOAD, {"opcode": Opcode.LOAD, "address": 4096, **whole, "rows": rows}
        )
        for channel in range(config.memory.channels):
            half = size // config.memory.channels
            row = {"n": 128, "a_stride": 256, "o_stride": 256, "rows": half // 256}
            start = {"a": lane_tile_address(channel, 0), "o": channel * half}
            self.generator.emit(
                Queue.EPILOGUE, {"opcode": Opcode.ELEMENTWISE, "function": 0, **row, **start}
            )

    def epilogue(self):
        """Use what waits, and put what the tile holds elsewhere into its memories."""
        config = self.config
        for channel in range(config.memory.channels):  # behind which all is done that came before
            self._gemv(channel, read=1)
        if self._weights:
            self._gemm()
        width = 4 * config.npu.tile_columns
        drain = {"opcode": Opcode.DRAIN, "rows": config.npu.accumulator_rows, "stride": width}
        for half in range(2):
            place = {"half": half, "format": Format.BINARY32}
            place["address"] = half * config.npu.accumulator_rows * width
            self.generator.emit(Queue.MATRIX, drain | place)

    def instruction(self):
        """Draw one, and emit it."""
        shares = np.array(list(SHARES.values())) / sum(SHARES.values())
        getattr(self, f"_{self.rng.choice(list(SHARES), p=shares)}")()

    # Drawing.

    def _pick(self, low, high):
        """Return a number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def _multiple(self, unit, limit):
        """Return a multiple of a unit below a limit."""
        return unit * self._pick(0, max(limit // unit - 1, 0))

    def _emit(self, queue, draw, in_place=False):
        """Emit what ``draw`` returns, drawn again until it is legal."""
        for _ in range(1000):
            fields = draw()
            if self._legal(queue, fields, in_place):
                self.generator.emit(queue, fields)
                return
        raise AssertionError(f"no legal operands found for {fields}")

    def _legal(self, queue, fields, in_place):
        if outside(self.config, queue, self.generator.record(queue, fields)):
            return False
        read, written = set(), set()
        for access in self.generator.accesses(queue, fields):
            places = {(access.memory, int(place)) for place in self.generator.granules(access)}
            if access.write:
                written |= places
                pieces = int(np.prod([count for count, _stride in access.strides]))
                if len(access.granules(1)) != pieces * access.nbytes:
                    return False  # rows of the result would overlap
            else:
                read |= places
        result, a = ((fields.get(x), fields.get(f"{x}_stride")) for x in "oa")
        return not read & written or (in_place and result == a)

    # DMA.

    def _transfer(self):
        config = self.config
        bursts = self._pick(1, 4)
        fields = {"bursts": bursts, "rows": self._pick(1, 4)}
        fields["address"] = self._multiple(
            config.memory.burst_bytes, min(config.memory.channel_bytes, 1 << 14)
        )
        fields["stride"] = config.memory.burst_bytes * self._pick(bursts, 24)
        if self.rng.random() < 0.05:
            fields[self.rng.choice(["bursts", "rows"])] = 0
        return fields

    def _load(self):
        ring = min(self.config.npu.weight_ring_bytes, 1024)
        place = {"opcode": Opcode.LOAD}
        self._emit(
            Queue.LOAD,
            lambda: (
                self._transfer() | place | {"ring": self._multiple(stripe_bytes(self.config), ring)}
            ),
        )

    def _lanes(self, opcode):
        config = self.config
        fields = self._transfer() | {"opcode": opcode}
        fields["lanes"] = self._pick(
            0 if self.rng.random() < 0.1 else 1, (1 << config.memory.channels) - 1
        )
        fields["lane_address"] = self._multiple(config.memory.burst_bytes, 2048)
        fields["lane_stride"] = config.memory.burst_bytes * self._pick(fields["bursts"], 8)
        return fields

    def _tail(self):
        if self.rng.random() < 0.5:
            self._emit(Queue.TAIL, lambda: self._lanes(Opcode.LOAD))
            return
        pages = self._pick(0 if self.rng.random() < 0.1 else 1, 3)
        channels = range(self.config.memory.channels)
        starts = [len(self.generator.row_lists[channel]) for channel in channels]
        start = max(starts)
        if start + pages > self.config.npu.row_list_entries:
            start = self._pick(0, min(starts) - pages)  # pages of an earlier one
        for channel in channels:
            rows = self.generator.row_lists[channel]
            missing = max(start + pages - len(rows), 0)
            rows += self.rng.integers(0, self.config.memory.rows, missing).tolist()
        place = {"pages": pages, "list": start}
        page_bytes = self.config.memory.banks * self.config.memory.row_bytes

        def draw():
            fields = self._lanes(Opcode.LOAD_PAGES) | place
            return fields | {"address": fields["address"] % page_bytes}

        self._emit(Queue.TAIL, draw)

    def _store(self):
        self._emit(Queue.STORE, lambda: self._lanes(Opcode.STORE))

    def _link(self):
        self.generator.emit(Queue.LINK, {"opcode": Opcode.ALLREDUCE, "cycles": self._pick(0, 60)})

    # Matrix unit.

    def _matrix(self):
        kind = self._pick(0, 3)
        if kind == 0:
            self._drain()
        elif self._weights:
            self._gemm()
        else:
            self._load_weights()

    def _load_weights(self):
        ring = min(self.config.npu.weight_ring_bytes, 1024)
        self._weights = True
        self._emit(
            Queue.MATRIX,
            lambda: {
                "opcode": Opcode.WEIGHTS,
                "ring": self._multiple(piece_bytes(self.config), ring),
                "depth": self._pick(0, self.config.npu.array_rows),
            },
        )

    def _gemm(self):
        width = 2 * self.config.npu.array_rows
        self._weights = False
        self._emit(
            Queue.MATRIX,
            lambda: {
                "opcode": Opcode.GEMM,
                "rows": self._pick(1, self.config.npu.accumulator_rows),
                "address": self._multiple(width, 2048),
                "stride": width * self._pick(0, 6),
                "half": self._pick(0, 1),
                "accumulate": self._pick(0, 1),
            },
        )

    def _drain(self):
        columns = self.config.npu.tile_columns

        def draw():
            number = self._pick(0, 1)
            width = (4 if number == Format.BINARY32 else 2) * columns
            return {
                "opcode": Opcode.DRAIN,
                "rows": self._pick(1, self.config.npu.accumulator_rows),
                "address": self._multiple(width, 2048),
                "stride": width * self._pick(1, 6),
                "half": self._pick(0, 1),
                "format": number,
                "columns": self._pick(0, columns),
            }

        self._emit(Queue.MATRIX, draw)

    # Vector units.

    def _vector(self):
        opcode, function = VARIANTS[self._pick(0, len(VARIANTS) - 1)]
        queue = Queue.EPILOGUE if self.rng.random() < 0.5 else Queue.ATTENTION
        self._emit(
            queue,
            lambda: vector_operands(self.config, self.rng, opcode, function),
            in_place=opcode in IN_PLACE,
        )

    # PIM.

    def _pim(self):
        channel = self._pick(0, self.config.memory.channels - 1)
        if self.rng.random() < 0.5:
            self._vector_buffer(channel)
        else:
            self._gemv(channel, read=self._pick(0, 2))

    def _vector_buffer(self, channel):
        burst = self.config.memory.burst_bytes

        def draw():
            bursts, rows = self._pick(1, 4), self._pick(1, 3)
            offset = 2 * self._pick(0, 8)
            return {
                "opcode": Opcode.VECTOR,
                "lane_address": self._multiple(burst, 2048),
                "lane_stride": burst * self._pick(0, 8),
                "bursts": bursts,
                "rows": rows,
                "half": self._pick(0, 1),
                "offset": offset,
                "offset_row": 2
                * self._pick(bursts, (self.config.vector_columns - offset) // 6 - 1),
            }

        self._emit(Queue.PIM + channel, draw)

    def _gemv(self, channel, read):
        config = self.config
        rows = self.generator.row_lists[channel]
        waiting = self._sums[channel]
        if waiting and read == 1:
            read = 2
        tiles, start = self._pick(1, 3), len(rows)
        if start + tiles > config.npu.row_list_entries:
            start = self._pick(0, start - tiles)  # rows of an earlier one
        else:
            rows += self.rng.integers(0, config.memory.rows, tiles).tolist()
        if waiting:
            shape = {name: waiting[name] for name in ("gemvs", "slots", "slot", "slot_gemv")}
        else:
            gemvs, slots = self._pick(1, 3), self._pick(1, 2)
            shape = {"gemvs": gemvs, "slots": slots, "slot_gemv": slots, "slot": self._pick(0, 2)}
        gemvs, slots = shape["gemvs"], shape["slots"]

        def draw():
            k = self._pick(1, 4)
            return {
                "opcode": Opcode.GEMV,
                **shape,
                "lane_address": self._multiple(config.memory.burst_bytes, 2048),
                "half": self._pick(0, 1),
                "offset": self._pick(0, 8),
                "offset_gemv": self._pick(0, 6),
                "offset_step": self._pick(0, 4),
                "offset_tile": self._pick(0, 8),
                "list": start,
                "tiles": tiles,
                "length": tile_cycles(config, gemvs, slots, k, read > 0),
                "k": k,
                "column": self._pick(0, 6),
                "queries": self._pick(0, 2),
                "column_gemv": self._pick(0, 2),
                "column_step": self._pick(0, 2),
                "read": read,
                "lane_slot": config.memory.burst_bytes * self._pick(config.result_bursts, 3),
                "lane_gemv": config.memory.burst_bytes * self._pick(config.result_bursts, 8),
                "lane_tile": config.memory.burst_bytes * self._pick(config.result_bursts, 24),
            }

        self._emit(Queue.PIM + channel, draw)
        self._sums[channel] = shape if read == 0 else None
