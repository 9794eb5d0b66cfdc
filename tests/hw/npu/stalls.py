"""A device whose streams stall at random, elaborated from the sources of the device itself.

While it is elaborated, ``wiring.connect`` of the modules in :data:`STALLED` puts a :class:`Stall`
into every stream that it connects, and outside of the tile, where nothing is in lock step, a
:class:`Delay` into every one that is always ready. So instructions start late, requests and
operations find no room or come in gusts, and answers are late: the streams of the host, from the
sequencer to the units, into and out of the DMA engines, and of the links on both of their ends.
Values may not depend on any of that.

Stalls have no seed but the time since reset: the same program begun later meets others.
"""

import zlib
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from amaranth.hdl import *
from amaranth.hdl._ir import Fragment
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

import hw.device
import hw.npu.dma.lanes
import hw.npu.matrix.unit
import hw.npu.sequencer
import hw.npu.tile

__all__ = ["StalledDevice"]

#: The modules whose streams stall.
STALLED = (hw.device, hw.npu.tile, hw.npu.sequencer, hw.npu.dma.lanes, hw.npu.matrix.unit)

#: Answers that a delayed stream holds: more than may be outstanding (two engines' windows of 128
#: reads; results of at most four GEMVs, of which programs here keep each below 64 bursts).
DEPTH = 512


class Random(wiring.Component):
    """Random bits, new in every cycle: Marsaglia's xorshift32.

    Members
    -------
    o : ``Out(32)``
        Bits.
    """

    o: Out(32)

    def __init__(self, seed):
        self._seed = seed | 1
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        state = Signal(32, init=self._seed)
        first, second = Signal(32), Signal(32)
        m.d.comb += [
            first.eq(state ^ (state << 13)),
            second.eq(first ^ (first >> 17)),
            self.o.eq(state),
        ]
        m.d.sync += state.eq(second ^ (second << 5))
        return m


class Gate(wiring.Component):
    """Opens and closes at random: of 64 cycles each, half are always open, others now and then.

    Members
    -------
    random : ``In(16)``
        Random bits.
    o : ``Out(1)``
        Open.
    """

    random: In(16)
    o: Out(1)

    def elaborate(self, platform):
        m = Module()
        cycle = Signal(6)
        habit = Signal(3)
        m.d.sync += cycle.eq(cycle + 1)
        with m.If(cycle == 0):
            m.d.sync += habit.eq(self.random[8:])
        with m.Switch(habit):
            with m.Case(4, 5):
                m.d.comb += self.o.eq(self.random[0])
            with m.Case(6):
                m.d.comb += self.o.eq(self.random[:3] == 0)
            with m.Case(7):
                m.d.comb += self.o.eq(0)
            with m.Default():
                m.d.comb += self.o.eq(1)
        return m


class Stall(wiring.Component):
    """Lets a stream pass without latency while the gate is open; what is offered stays offered.

    Members
    -------
    random : ``In(16)``
        Random bits.
    i, o : streams
        The stream.
    """

    def __init__(self, width):
        payload = stream.Signature(unsigned(width))
        super().__init__({"random": In(16), "i": In(payload), "o": Out(payload)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = Gate()
        offered = Signal()
        opened = gate.o | offered
        m.d.comb += [
            gate.random.eq(self.random),
            self.o.valid.eq(self.i.valid & opened),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready & opened),
        ]
        m.d.sync += offered.eq(self.o.valid & ~self.o.ready)
        return m


class Delay(wiring.Component):
    """Delays a stream that is always ready by a random time; order is kept.

    Parameters
    ----------
    width : int
        Bits of the payload.
    turn : int or None
        Only every second cycle, the even or the odd ones, has answers: two streams that share wires
        never have one in the same cycle.

    Members
    -------
    random : ``In(16)``
        Random bits.
    i, o : streams
        The stream.
    """

    def __init__(self, width, turn):
        self._width = width
        self._turn = turn
        payload = stream.Signature(unsigned(width), always_ready=True)
        super().__init__({"random": In(16), "i": In(payload), "o": Out(payload)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = Gate()
        m.submodules.answers = answers = fifo.SyncFIFOBuffered(width=self._width, depth=DEPTH)
        odd = Signal()
        mine = 1 if self._turn is None else odd == self._turn
        m.d.comb += [
            gate.random.eq(self.random),
            answers.w_en.eq(self.i.valid),
            answers.w_data.eq(self.i.payload),
            answers.r_en.eq(gate.o & mine),
            self.o.valid.eq(answers.r_rdy & gate.o & mine),
            self.o.payload.eq(answers.r_data),
        ]
        m.d.sync += odd.eq(~odd)
        return m


class _Connections:
    """What takes the place of ``wiring.connect`` in one module."""

    def __init__(self, module):
        self._seed = zlib.crc32(module.__name__.encode())
        self._delays = module is hw.device
        self._random = {}  # of each Module at work, its random bits
        self._count = {}  # and its streams so far

    def connect(self, m, first, second):
        stalls = set(first.signature.members) == {"payload", "valid", "ready"}
        if stalls and isinstance(first.ready, Const):
            stalls = self._delays
        if not stalls:
            return wiring.connect(m, first, second)
        source, sink = first, second
        if source.signature.members["valid"].flow is In:
            source, sink = second, first
        number = self._count[m] = self._count.get(m, -1) + 1
        if not number:
            m.submodules.stall_random = self._random[m] = Random(self._seed)
        layout = source.payload.shape() if isinstance(source.payload, data.View) else {}
        width = len(Value.cast(source.payload))
        if isinstance(source.ready, Const):
            fields = set(dict(layout)) if layout else set()
            turn = int("tag" not in fields) if "data" in fields else None
            stall = Delay(width, turn)
        else:
            stall = Stall(width)
            m.d.comb += [stall.o.ready.eq(sink.ready), source.ready.eq(stall.i.ready)]
        m.submodules[f"stall_{number}"] = stall
        m.d.comb += [
            stall.random.eq(self._random[m].o.rotate_left(5 * number)),
            stall.i.valid.eq(source.valid),
            stall.i.payload.eq(source.payload),
            sink.valid.eq(stall.o.valid),
            Value.cast(sink.payload).eq(stall.o.payload),
        ]


@contextmanager
def _stalls():
    """Put stalls into what is elaborated meanwhile."""
    with ExitStack() as patches:
        for module in STALLED:
            connect = _Connections(module).connect
            if hasattr(module, "connect"):
                patches.enter_context(patch.object(module, "connect", connect))
            else:
                names = {name: getattr(wiring, name) for name in wiring.__all__}
                stalling = SimpleNamespace(**names | {"connect": connect})
                patches.enter_context(patch.object(module, "wiring", stalling))
        yield


class StalledDevice(hw.device.Device):
    """A device with stalls; its ports and memories are those of the device."""

    def elaborate(self, platform):
        with _stalls():
            return Fragment.get(super().elaborate(platform), platform)
