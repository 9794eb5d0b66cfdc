"""When results of PIM are on the data bus, known early enough to keep bursts away."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.pim.operation import operation_layout
from hw.delay_line import delayed
from hw.protocol.results import result_cycles, result_latency

__all__ = ["ResultWindows", "check_result_latency"]


def _reach(config: ChannelConfig) -> int:
    """Return the cycles from a RD to the first result that its data cannot meet."""
    timing = config.memory.timing
    return timing.nCL + timing.nBL + timing.nTURN


def check_result_latency(config: ChannelConfig) -> None:
    """Check that results come late enough for commands that issued before.

    Raises
    ------
    ValueError
        If results come so early that a RD that issued before could collide with one.
    """
    timing = config.memory.timing
    # Column commands are two cycles apart.
    least = max(_reach(config) - 2, timing.nCWL + timing.nBL + timing.nTURN)
    if result_latency(config) < least:
        raise ValueError(
            f"the latency of results must be at least {least} cycles (nCL + nBL + nTURN - 2), "
            f"not {result_latency(config)!r}"
        )


class ResultWindows(wiring.Component):
    """Follows the columns of every PIM_GEMV that reads, and reserves the bus for its results.

    A command named in cycle c is on the bus in c + 1.

    Members
    -------
    gemv : ``In(operation_layout(config))``, issue : ``In(1)``
        A PIM_GEMV that reads issues in this cycle.
    read_clear : ``Out(ranks)``, write_clear : ``Out(1)``
        No result is on the data bus together with the burst of RD (from that rank) or WR named in
        this cycle, nor what another drives of it within a turn-around.
    read_soon : ``Out(ranks)``, write_soon : ``Out(1)``
        The same for commands named in the next cycle, without what is reserved in this one.
    until_free : ``Out``
        Cycles, from the issue of a command named in this cycle, until the results that are on their
        way leave the bus to another's.
    now : ``Out(1)``
        A result is on the bus.
    idle : ``Out(1)``
        No result is on its way.

    Raises
    ------
    ValueError
        As :func:`check_result_latency` says.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        self._reach = _reach(config)
        check_result_latency(config)
        layout = operation_layout(config)
        super().__init__(
            {
                "gemv": In(layout),
                "issue": In(1),
                "read_clear": Out(config.memory.ranks),
                "write_clear": Out(1),
                "read_soon": Out(config.memory.ranks),
                "write_soon": Out(1),
                "until_free": Out(layout["end"].shape),
                "now": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.memory.timing
        beats = -(-4 * config.memory.banks_per_rank // config.memory.column_bytes)
        length = result_cycles(config)
        turn = timing.nTURN if config.memory.ranks > 1 else 0
        with m.If(self.issue):
            m.d.sync += self.until_free.eq(self.gemv.end - 1)
        with m.Elif(self.until_free != 0):
            m.d.sync += self.until_free.eq(self.until_free - 1)

        # Follow the columns, late enough that the reservation needs no longer reach than bursts.
        late = max(0, result_latency(config) - 1 - self._reach)
        place = result_latency(config) - 1 - late
        issue = delayed(m, self.issue, late, "issue")
        slots = delayed(m, self.gemv.slots, late, "slots")
        step = delayed(m, self.gemv.step, late, "step")
        slots_left = Signal.like(self.gemv.slots)
        slot_step = Signal.like(self.gemv.step)
        until_last = Signal.like(self.gemv.step)
        last = (slots_left != 0) & (until_last == 0)
        with m.If(issue):
            m.d.sync += [slots_left.eq(slots), slot_step.eq(step), until_last.eq(step)]
        with m.Elif(last):
            m.d.sync += [
                slots_left.eq(slots_left - 1),
                until_last.eq(slot_step + timing.nCCDL - 1),
            ]
        with m.Elif(until_last != 0):
            m.d.sync += until_last.eq(until_last - 1)

        # A slot's result follows its last column, or the result before it.
        pending = Signal(range(2 * config.pim.slots + 1))
        spacing = Signal(range(length + turn))
        reserve = Signal()
        m.d.comb += reserve.eq((last | (pending != 0)) & (spacing == 0))
        m.d.sync += [
            pending.eq(pending + last - reserve),
            spacing.eq(Mux(reserve, length + turn - 1, Mux(spacing == 0, 0, spacing - 1))),
        ]
        # What each rank drives; bit i: the cycle i cycles from now.
        reserved = []
        for rank in range(config.memory.ranks):
            drives = Signal(self._reach + length + 1, name=f"reserved_{rank}")
            piece = ((1 << beats) - 1) << (place + rank * (beats + timing.nTURN))
            m.d.sync += drives.eq((drives >> 1) | Mux(reserve, piece, 0))
            reserved.append(drives)

        def clear(delay: int, driver: int | None):
            first, end = 1 + delay, 1 + delay + timing.nBL
            return ~Cat(
                drives[first:end]
                if rank == driver
                else drives[max(0, first - timing.nTURN) : end + timing.nTURN]
                for rank, drives in enumerate(reserved)
            ).any()

        # Where a reservation is made nearer than reads reach, they wait for it.
        short = self._reach - place
        coming = Const(0)
        if short:
            coming = (pending != 0) | ((slots_left != 0) & (until_last < short))
            coming &= spacing < short

        m.d.comb += [
            *(
                self.read_clear[r].eq(clear(timing.nCL, r) & ~coming)
                for r in range(config.memory.ranks)
            ),
            self.write_clear.eq(clear(timing.nCWL, None)),
            *(self.read_soon[r].eq(clear(timing.nCL + 1, r)) for r in range(config.memory.ranks)),
            self.write_soon.eq(clear(timing.nCWL + 1, None)),
            self.now.eq(Cat(drives[0] for drives in reserved).any()),
            self.idle.eq((self.until_free == 0) & ~Cat(reserved).any() & (slots_left == 0)),
        ]
        return m
