"""The RTL as a device: programs run on the compiled design, cycle by cycle."""

import ctypes
from collections.abc import Callable, Sequence

import numpy as np

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
from sim.engine.cxxrtl import CompiledDesign
from sim.trace.command_trace import ACCEPT, RECORD

__all__ = ["RtlDevice"]

#: Seconds of one call into the compiled code, so that Ctrl-C and progress are prompt (chosen).
_SLICE = 0.2


class _QueueState(ctypes.Structure):
    _fields_ = (
        ("payload", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("ready", ctypes.c_void_p),
        ("words", ctypes.c_uint32),
        ("stream", ctypes.c_void_p),
        *((name, ctypes.c_uint64) for name in ("count", "pushed", "started", "retired")),
        ("starts", ctypes.c_void_p),
        ("retires", ctypes.c_void_p),
    )


class _TraceField(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("bit", "width", "offset", "bytes"))


class _TraceRecord(ctypes.Structure):
    _fields_ = (
        ("condition", _TraceField),
        ("count", ctypes.c_uint32),
        ("fields", ctypes.POINTER(_TraceField)),
        ("command", ctypes.c_int32),
    )


class _Run(ctypes.Structure):
    _fields_ = (
        ("queues", ctypes.c_uint32),
        ("queue", ctypes.POINTER(_QueueState)),
        *((name, ctypes.c_void_p) for name in ("start", "retire", "done", "error")),
        ("list_write", ctypes.c_void_p),
        ("list_words", ctypes.c_uint32),
        ("list", ctypes.c_void_p),
        *((name, ctypes.c_uint64) for name in ("list_count", "list_pushed")),
        ("channels", ctypes.c_uint32),
        ("trace", ctypes.POINTER(ctypes.c_void_p)),
        ("kinds", ctypes.c_uint32),
        ("kind", ctypes.POINTER(_TraceRecord)),
        *(
            (name, ctypes.c_uint32)
            for name in ("record_bytes", "cycle_offset", "channel_offset", "command_offset")
        ),
        *((name, ctypes.c_uint64) for name in ("first_cycle", "cycle", "limit", "last_event")),
        ("state", ctypes.c_uint32),
    )


class RtlDevice:
    """A device of compiled RTL; see :class:`sim.device.Device`.

    Parameters
    ----------
    config
        The device.
    announce
        Called with a line of text before a compilation.
    design
        What is compiled: the class of the device, or of one derived from it.

    Raises
    ------
    CompilerNotFoundError, CompileError
        If the design cannot be compiled.
    """

    def __init__(
        self,
        config: Config,
        announce: Callable[[str], None] | None = None,
        design: Callable[[Config], hw.device.Device] = hw.device.Device,
    ) -> None:
        self.config = config
        self._design = CompiledDesign(
            design,
            config,
            driver="device_driver.cc",
            announce=announce,
        )
        self._kinds = _trace_records(config)
        library = self._design.library
        library.trace_create.restype = ctypes.c_void_p
        library.trace_destroy.argtypes = [ctypes.c_void_p]
        library.trace_data.argtypes = [ctypes.c_void_p]
        library.trace_data.restype = ctypes.c_void_p
        library.trace_bytes.argtypes = [ctypes.c_void_p]
        library.trace_bytes.restype = ctypes.c_uint64
        handle = ctypes.c_void_p
        library.device_run.argtypes = [handle, ctypes.POINTER(_Run), handle, ctypes.c_double]
        self._error: DeviceError | None = None
        self._bind()

    def _bind(self) -> None:
        """Find the memories."""
        memory = self._design.memory
        self._cells = Cells(self.config, lambda name: memory(name).reshape(-1).view(np.uint8))

    def reset(self) -> None:
        self._design.reset()
        self._error = None
        self._bind()

    def write(self, channel: int, address: int, content: bytes) -> None:
        self._cells.write(channel, address, content)

    def read(self, channel: int, address: int, nbytes: int) -> bytes:
        return self._cells.read(channel, address, nbytes)

    def memories(self) -> dict[str, np.ndarray]:
        return self._cells.copies()

    def snapshot(self) -> Snapshot:
        return {name: self._design.memory(name).copy() for name in self._design.memories}

    def restore(self, snapshot: Snapshot) -> None:
        for name, content in snapshot.items():
            self._design.memory(name)[...] = content

    def run(self, program: Program, progress: Callable[[int], None] | None = None) -> Result:
        if self._error:
            raise stopped(self._error)
        for block, content in program.inputs:
            self.write(block.channel, block.address, content)
        before = self._counters()
        streams = pack_program(self.config, program)
        run = self._prepare(program, streams)
        library = self._design.library
        trace = ctypes.c_void_p(library.trace_create())
        try:
            while not run.state:
                library.device_run(self._design.handle, ctypes.byref(run), trace, _SLICE)
                if progress:
                    progress(run.cycle)
            self._design.cycles += run.cycle
            nbytes = library.trace_bytes(trace)
            content = ctypes.string_at(library.trace_data(trace), nbytes) if nbytes else b""
        finally:
            library.trace_destroy(trace)
        if run.state != End.DONE:
            queues = [run.queue[queue] for queue in range(run.queues)]
            started = [queue.started for queue in queues]
            retired = [queue.retired for queue in queues]
            status = self._design["o_error"]
            self._error = explain(self.config, program, End(run.state), status, started, retired)
            raise self._error
        after = self._counters()
        outputs = program.outputs.items()
        return Result(
            outputs={n: self.read(b.channel, b.address, b.nbytes) for n, b in outputs},
            starts=streams.starts,
            retires=streams.retires,
            cycles=run.cycle,
            counters={name: after[name] - before[name] for name in after},
            trace=np.frombuffer(content, RECORD),
        )

    def _prepare(self, program: Program, streams: Streams) -> _Run:
        design = self._design
        queues = (_QueueState * len(program.streams))()
        for queue, state in enumerate(queues):
            state.payload = design.words(f"queue_{queue}__payload").ctypes.data
            state.valid = design.words(f"queue_{queue}__valid").ctypes.data
            state.ready = design.words(f"queue_{queue}__ready").ctypes.data
            state.words = streams.words[queue].shape[1]
            state.stream = streams.words[queue].ctypes.data
            state.count = len(program.streams[queue])
            state.starts = streams.starts[queue].ctypes.data
            state.retires = streams.retires[queue].ctypes.data
        channels = range(self.config.memory.channels)
        traces = (ctypes.c_void_p * len(channels))(
            *(design.words(f"trace_{channel}").ctypes.data for channel in channels)
        )
        names = {"start": "start", "retire": "retire", "done": "o_done", "error": "o_error"}
        offsets = {name: entry[1] for name, entry in (RECORD.fields or {}).items()}
        return _Run(
            queues=len(queues),
            queue=queues,
            **{field: design.words(port).ctypes.data for field, port in names.items()},
            list_write=design.words("list_write").ctypes.data,
            list_words=design.words("list_write").size,
            list=streams.row_lists.ctypes.data,
            list_count=len(streams.row_lists),
            channels=len(channels),
            trace=traces,
            kinds=len(self._kinds),
            kind=self._kinds,
            record_bytes=RECORD.itemsize,
            cycle_offset=offsets["cycle"],
            channel_offset=offsets["channel"],
            command_offset=offsets["command"],
            first_cycle=design.cycles,
            limit=HUNG,
        )

    def _counters(self) -> dict[str, int]:
        return counters(self._design["counters"])


def _trace_records(config: Config) -> "ctypes.Array[_TraceRecord]":
    """Return what the trace ports hold and where it goes in a record."""
    layout = hw.device.trace_layout(config)
    command, accept = layout["command"], layout["accept"]
    offsets: dict[str, tuple[np.dtype, int]] = dict(RECORD.fields or {})  # type: ignore[arg-type]

    def field(part: object, start: int, name: str) -> _TraceField:
        place = part[name]  # type: ignore[index]  # a layout of amaranth
        dtype, offset = offsets.get(name, (np.dtype(np.uint32), 0))[:2]
        return _TraceField(start + place.offset, place.width, offset, dtype.itemsize)

    def fields(part: object, start: int, names: Sequence[str]) -> "ctypes.Array[_TraceField]":
        return (_TraceField * len(names))(*(field(part, start, name) for name in names))

    bus = [name for name, _ in command.shape if name in offsets and name != "command"]
    taken = [name for name, _ in accept.shape if name in offsets]
    return (_TraceRecord * 2)(  # in one cycle, an acceptance comes before the command
        _TraceRecord(
            field(accept.shape, accept.offset, "valid"),
            len(taken),
            fields(accept.shape, accept.offset, taken),
            ACCEPT,
        ),
        _TraceRecord(
            field(command.shape, command.offset, "command"),
            len(bus),
            fields(command.shape, command.offset, bus),
            -1,
        ),
    )
