"""The RTL as a device under Amaranth's simulator: what the compiled device must equal."""

from collections.abc import Callable, Iterator

import numpy as np
from amaranth.hdl import *
from amaranth.hdl._ir import Fragment
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import data
from amaranth.lib.memory import MemoryData
from amaranth.sim._async import SimulatorContext

import hw.device
from hw.config import Config
from hw.program.program import Program
from sim.device import DeviceError, Result, Snapshot
from sim.devices.rtl_program import (
    HUNG,
    Cells,
    End,
    Streams,
    counters,
    explain,
    pack_program,
    stopped,
)
from sim.engine.amaranth import simulator
from sim.trace.command_trace import ACCEPT, RECORD

__all__ = ["SimulatedDevice"]


class SimulatedDevice:
    """A device under Amaranth's simulator; see :class:`sim.device.Device`.

    It runs some cycles a second: it is there to check
    :class:`sim.devices.compiled_device.RtlDevice`, which gives the same results in the same cycles,
    and to look into the design while a short program runs.

    Parameters
    ----------
    config
        The device.
    design
        What is simulated: the class of the device, or of one derived from it.

    Attributes
    ----------
    cycles
        Clock cycles since reset.
    """

    def __init__(
        self,
        config: Config,
        design: Callable[[Config], hw.device.Device] = hw.device.Device,
    ) -> None:
        self.config = config
        self.cycles = 0
        self.component = design(config)
        fragment = Fragment.get(self.component, None)
        self._memories = dict(_memories(fragment))
        self._sim = simulator(fragment)
        self._sim.add_testbench(self._work)
        self._job: _Run | None = None
        self._power_up()

    def _power_up(self) -> None:
        self._sim.advance()  # a testbench that never starts would be reported when it is dropped
        self.cycles = 0
        self._begun = False
        self._error: DeviceError | None = None
        self._held = {
            name: np.zeros((memory.depth, -(-Shape.cast(memory.shape).width // 8)), np.uint8)
            for name, memory in self._memories.items()
        }
        for name, memory in self._memories.items():
            _fill(self._held[name], memory.init._raw)
        self._written = {name: content.copy() for name, content in self._held.items()}
        self._cells = Cells(self.config, lambda name: self._held[name].reshape(-1))

    def reset(self) -> None:
        if self._begun:  # Amaranth's simulator warns of testbenches that have never run
            self._sim.reset()
        self._power_up()

    def write(self, channel: int, address: int, content: bytes) -> None:
        self._cells.write(channel, address, content)

    def read(self, channel: int, address: int, nbytes: int) -> bytes:
        return self._cells.read(channel, address, nbytes)

    def memories(self) -> dict[str, np.ndarray]:
        return self._cells.copies()

    def snapshot(self) -> Snapshot:
        return {name: content.copy() for name, content in self._held.items()}

    def restore(self, snapshot: Snapshot) -> None:
        for name, content in snapshot.items():
            self._held[name][...] = content

    def run(self, program: Program, progress: Callable[[int], None] | None = None) -> Result:
        if self._error:
            raise stopped(self._error)
        for block, content in program.inputs:
            self.write(block.channel, block.address, content)
        streams = pack_program(self.config, program)
        job = _Run(self.config, program, streams, self.cycles, progress)
        self._job = job
        self._begun = True
        while self._job is not None:
            self._sim.advance()
        self.cycles += job.cycle
        if job.end is not End.DONE:
            self._error = explain(
                self.config, program, job.end, job.status, job.started, job.retired
            )
            raise self._error
        outputs = program.outputs.items()
        return Result(
            outputs={n: self.read(b.channel, b.address, b.nbytes) for n, b in outputs},
            starts=streams.starts,
            retires=streams.retires,
            cycles=job.cycle,
            counters={name: job.after[name] - job.before[name] for name in job.after},
            trace=np.array(job.records, RECORD),
        )

    async def _work(self, ctx: SimulatorContext) -> None:
        """Run programs as they come. Between two of them no time passes."""
        while True:
            while (job := self._job) is None:
                await ctx.delay(0)
            for name, memory in self._memories.items():
                new, old = self._held[name], self._written[name]
                for row in np.flatnonzero((new != old).any(axis=1)).tolist():
                    ctx.set(Value.cast(memory[row]), int.from_bytes(new[row].tobytes(), "little"))
            await job.run(ctx, self.component)
            for name, memory in self._memories.items():
                _fill(
                    self._held[name],
                    [ctx.get(Value.cast(memory[row])) for row in range(memory.depth)],
                )
                self._written[name] = self._held[name].copy()
            self._job = None
            await ctx.delay(0)


class _Run:
    """One program on its way through the device.

    Attributes
    ----------
    cycle, end, status
        Cycles so far, how the program stands, and the port ``o_error``.
    started, retired
        Instructions of each queue that have.
    before, after
        Counters.
    records
        Records of the trace.
    """

    def __init__(
        self,
        config: Config,
        program: Program,
        streams: Streams,
        first_cycle: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._streams = streams
        self._first_cycle = first_cycle
        self._progress = progress
        self._layout = hw.device.trace_layout(config)
        self._channels = config.memory.channels
        self._payloads = [
            [int.from_bytes(row.tobytes(), "little") for row in words] for words in streams.words
        ]
        self._lists = [int.from_bytes(row.tobytes(), "little") for row in streams.row_lists]
        self._pushed = [0] * len(program.streams)
        self.retired = [0] * len(program.streams)
        self._last_event = 0
        self.started = [0] * len(program.streams)
        self.cycle = 0
        self.end = End.RUNS
        self.status = 0
        self.before: dict[str, int] = {}
        self.after: dict[str, int] = {}
        self.records: list[tuple[int, ...]] = []

    async def run(self, ctx: SimulatorContext, device: hw.device.Device) -> None:
        """Feed the queues until the program is over, has failed or hangs."""
        queues = [getattr(device, f"queue_{q}") for q in range(len(self._payloads))]
        list_write = Value.cast(device.list_write)
        traces = [Value.cast(getattr(device, f"trace_{c}")) for c in range(self._channels)]
        status, count = Value.cast(device.o_error), Value.cast(device.counters)
        self.before = counters(ctx.get(count))
        pushed_lists = 0
        watched = [queue.ready for queue in queues]
        watched += [device.start, device.retire, device.o_done, status, *traces]
        while self.end is End.RUNS:
            listing = pushed_lists < len(self._lists)
            ctx.set(list_write, self._lists[pushed_lists] if listing else 0)
            offered = []
            for queue, payloads, pushed in zip(queues, self._payloads, self._pushed, strict=True):
                offered.append(not listing and pushed < len(payloads))
                ctx.set(queue.valid, offered[-1])
                if offered[-1]:
                    ctx.set(queue.payload, payloads[pushed])
            _clock, _reset, *seen = await ctx.tick().sample(*watched)
            ready, (start, retire, done, self.status) = seen[: len(queues)], seen[len(queues) :][:4]
            pushed_lists += listing
            for q, taken in enumerate(ready):
                self._pushed[q] += offered[q] & taken
            self._note(start, self.started, self._streams.starts)
            self._note(retire, self.retired, self._streams.retires)
            for channel, value in enumerate(seen[len(queues) + 4 :]):
                self._record(channel, value)
            over = not listing and all(
                retired == len(payloads)
                for retired, payloads in zip(self.retired, self._payloads, strict=True)
            )
            self.cycle += 1
            if self._progress and self.cycle % 64 == 0:
                self._progress(self.cycle)
            if self.status & 7:
                self.end = End.ERROR
            elif over and done:
                self.end = End.DONE
            elif self.cycle - self._last_event > HUNG:
                self.end = End.HUNG
        for queue in queues:
            ctx.set(queue.valid, 0)
        self.after = counters(ctx.get(count))

    def _note(self, pulses: int, counts: list[int], cycles: list[np.ndarray]) -> None:
        """Count the queues' starts or retirements, and note in which cycle they were."""
        for q, place in enumerate(counts):
            if pulses >> q & 1 and place < len(cycles[q]):
                cycles[q][place] = self._last_event = self.cycle
                counts[q] += 1

    def _record(self, channel: int, value: int) -> None:
        """Add what a channel's trace port shows: an acceptance comes before the command."""
        command, accept = self._layout["command"], self._layout["accept"]
        taken = _fields(accept.shape, value >> accept.offset)
        issued = _fields(command.shape, value >> command.offset)
        for there, code, fields in (
            (taken["valid"], ACCEPT, taken),
            (issued["command"], issued["command"], issued),
        ):
            if there:
                fixed = {
                    **fields,
                    "cycle": self._first_cycle + self.cycle,
                    "channel": channel,
                    "command": code,
                }
                self.records.append(tuple(fixed.get(name, 0) for name in RECORD.names or ()))


def _fields(layout: data.StructLayout, value: int) -> dict[str, int]:
    return {name: value >> field.offset & (1 << field.width) - 1 for name, field in layout}


def _fill(content: np.ndarray, rows: list[int]) -> None:
    """Put rows of a memory into an array of bytes."""
    nbytes = content.shape[1]
    packed = b"".join(row.to_bytes(nbytes, "little") for row in rows)
    content[...] = np.frombuffer(packed, np.uint8).reshape(content.shape)


def _memories(fragment: Fragment, path: str = "") -> Iterator[tuple[str, MemoryData]]:
    """Yield the memories of a design by name: submodules from the top, dots between."""
    for part, name, _source in fragment.subfragments:
        if isinstance(part, MemoryInstance):
            yield path + name, part._data
        yield from _memories(part, f"{path}{name}.")
