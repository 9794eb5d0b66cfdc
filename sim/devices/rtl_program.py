"""What every engine of the RTL needs to run a program: its words, its end, and the memories."""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import hw.device
from hw.config import Config
from hw.counters import counters_layout
from hw.npu.memories.row_list import no_row
from hw.npu.sequencer import Error, error_layout
from hw.program.bounds import outside
from hw.program.instruction_set import bit_layout
from hw.program.program import Program, encode, queue_kind
from sim.device import DeviceError

__all__ = ["HUNG", "Cells", "End", "Streams", "counters", "explain", "pack_program", "stopped"]

#: Cycles without any instruction starting or retiring after which a device has hung (chosen: the
#: longest instruction, a whole request's PIM tiles, takes some ten thousand).
HUNG = 200_000


class End(enum.IntEnum):
    """How a program stands; the compiled driver uses the same numbers."""

    RUNS = 0
    DONE = 1
    ERROR = 2
    HUNG = 3


@dataclass(slots=True)
class Streams:
    """A program in words, and arrays for what becomes of it.

    Attributes
    ----------
    words
        One ``uint32[instructions, words]`` a queue, for its port.
    row_lists
        ``uint32[entries, words]``: one write of a row list each, for the port ``list_write``.
    starts, retires
        One ``uint64[instructions]`` a queue: the cycles of the run in which they did.
    """

    words: list[np.ndarray]
    row_lists: np.ndarray
    starts: list[np.ndarray]
    retires: list[np.ndarray]


def pack_program(config: Config, program: Program) -> Streams:
    """Return the words of a program as the ports of the device take them.

    A number in a row list that is no row of the channel becomes one that the device knows for such.
    """
    words = []
    for queue, stream in enumerate(program.streams):
        kind = queue_kind(queue)
        encoded = encode(kind, stream).view(np.uint32)
        words.append(np.ascontiguousarray(encoded[:, : -(-bit_layout(kind)[1] // 32)]))
    entries = [
        (channel, index, int(row))
        for channel, rows in enumerate(program.row_lists)
        for index, row in enumerate(rows)
    ]
    layout = hw.device.list_write_layout(config)
    size = -(-layout.size // 32)
    packed = np.zeros((len(entries), size), np.uint32)
    for place, (channel, index, row) in enumerate(entries):
        written = min(row, no_row(config))
        value = layout.const({"valid": 1, "channel": channel, "index": index, "row": written})
        content = value.as_value().value.to_bytes(4 * size, "little")
        packed[place] = np.frombuffer(content, np.uint32)
    starts = [np.zeros(len(stream), np.uint64) for stream in program.streams]
    return Streams(words, packed, starts, [array.copy() for array in starts])


def counters(value: int) -> dict[str, int]:
    """Return the counters that a device's port holds, by name."""
    return {
        name: value >> field.offset & (1 << field.width) - 1 for name, field in counters_layout()
    }


def explain(
    config: Config,
    program: Program,
    end: End,
    status: int,
    started: Sequence[int],
    retired: Sequence[int],
) -> DeviceError:
    """Say which instruction stopped the device, and why.

    Parameters
    ----------
    end, status
        How the program stands, and the port ``o_error``.
    started, retired
        Instructions of each queue that have.
    """
    fields = {name: status >> f.offset & (1 << f.width) - 1 for name, f in error_layout(config)}
    code = Error(fields["code"])
    if end is End.HUNG or code is Error.DEADLOCK:
        running = [
            program.describe(queue, index)
            for queue, count in enumerate(started)
            for index in range(retired[queue], count)
        ]
        heads = [
            program.describe(queue, index)
            for queue, index in enumerate(started)
            if index < len(program.streams[queue])
        ]
        text = f"no progress in {HUNG} cycles" if end is End.HUNG else "a deadlock"
        for state, instructions in (("running", running), ("still to start", heads)):
            if instructions:
                text += f": {state} are {'; '.join(instructions)}"
        return DeviceError(text, "hung" if end is End.HUNG else "deadlock")
    queue, index, reason = fields["queue"], fields["index"], ""
    if code is Error.ADDRESS:
        # The first of those that run which no memory can take.
        for candidate in range(index, max(index + 1, started[queue])):
            access = outside(config, queue, program.streams[queue][candidate], program.row_lists)
            if access is not None:
                index, reason = candidate, f": it {access}"
                break
    cause = code.name.lower()
    return DeviceError(f"{cause} in {program.describe(queue, index)}{reason}", cause, queue, index)


def stopped(error: DeviceError) -> DeviceError:
    """Say that a device takes no program since an earlier error."""
    text = f"the device has stopped ({error.cause}) and needs a reset: {error}"
    return DeviceError(text, "stopped", error.queue, error.index)


class Cells:
    """The memories of a device by the addresses that a host knows.

    Parameters
    ----------
    memory
        Returns the bytes of a memory of the design, as an array that is the memory; its name is
        the way to it from the top, with dots between.
    """

    def __init__(self, config: Config, memory: Callable[[str], np.ndarray]) -> None:
        self._config = config
        self._banks = [
            [
                memory(f"channel_{channel}.die.bank_{bank}.cells.cells")
                for bank in range(config.memory.banks)
            ]
            for channel in range(config.memory.channels)
        ]
        self._tile = {"activation memory": memory("tile.memories.activations.memory")}
        for channel in range(config.memory.channels):
            self._tile[f"lane buffer {channel}"] = memory(f"tile.memories.lane_{channel}.memory")

    def write(self, channel: int, address: int, content: bytes) -> None:
        """Write bytes of a channel."""
        for bank, start, first, count in self._pieces(address, len(content)):
            piece = np.frombuffer(content[first : first + count], np.uint8)
            self._banks[channel][bank][start : start + count] = piece

    def read(self, channel: int, address: int, nbytes: int) -> bytes:
        """Return bytes of a channel."""
        return b"".join(
            self._banks[channel][bank][start : start + count].tobytes()
            for bank, start, _first, count in self._pieces(address, nbytes)
        )

    def copies(self) -> dict[str, np.ndarray]:
        """Return contents as :meth:`sim.device.Device.memories` does."""
        config = self._config
        found = {name: content.copy() for name, content in self._tile.items()}
        for channel, banks in enumerate(self._banks):
            rows = np.stack(
                [bank.reshape(config.memory.rows, config.memory.row_bytes) for bank in banks],
                axis=1,
            )
            found[f"channel {channel}"] = rows.reshape(-1)
        return found

    def _pieces(self, address: int, nbytes: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield bank, byte of the bank, byte of the piece and length, row by row of the banks."""
        config = self._config
        if not 0 <= address <= address + nbytes <= config.memory.channel_bytes:
            raise ValueError(
                f"address must lie in a channel of {config.memory.channel_bytes} bytes, not "
                f"{address} to {address + nbytes}"
            )
        first = 0
        while first < nbytes:
            row_of_bank, byte = divmod(address + first, config.memory.row_bytes)
            row, bank = divmod(row_of_bank, config.memory.banks)
            count = min(nbytes - first, config.memory.row_bytes - byte)
            yield bank, row * config.memory.row_bytes + byte, first, count
            first += count
