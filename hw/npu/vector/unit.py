"""A vector unit: everything that is not a matrix product, one instruction at a time."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32
from hw.arith.convert import narrow
from hw.config import TileConfig
from hw.npu.instruction import operand_layout
from hw.npu.vector.issue.address import AddressGenerator, Advance, Walk
from hw.npu.vector.issue.control import Control
from hw.npu.vector.issue.decoder import Decoder, Work
from hw.npu.vector.issue.issuer import Issuer, Slot
from hw.npu.vector.issue.issues_in_flight import of_routes, select, taps_layout
from hw.npu.vector.issue.schedule import PAIRED, Route, Schedule
from hw.npu.vector.lanes.lane import Lane
from hw.npu.vector.lanes.lane_tree import LaneTree
from hw.npu.vector.lanes.largest import Largest
from hw.npu.vector.lanes.scalars import RowScalars
from hw.npu.vector.lanes.transposer import Transposer
from hw.npu.vector.ports import (
    CONTEXTS,
    READ_LATENCY,
    NumberFormat,
    OperandSignature,
    ResultSignature,
)
from hw.program.instruction_set import Queue
from hw.repeated import gated

__all__ = ["VectorUnit", "check_vector_sums"]

_INDEX_BITS = 16


def check_vector_sums(config: TileConfig) -> None:
    """Check that an addition is complete before its partial sum is needed again.

    Raises
    ------
    ValueError
        If the partial sums of a lane are fewer than the cycles of an adder.
    """
    if config.npu.vector_partial_sums < Adder.latency:
        raise ValueError(
            f"vector_partial_sums must be at least {Adder.latency}, the latency of an adder, "
            f"not {config.npu.vector_partial_sums!r}"
        )


class VectorUnit(wiring.Component):
    """Vector unit: ``lanes`` elements a cycle through one chain of units a lane.

    Rows are streamed: an element is read in every sweep over its row, and no intermediate result is
    kept but two scalars a row. :func:`hw.npu.vector.cycles.cycles` says how long an instruction
    takes, :mod:`hw.npu.vector.golden` what it computes.

    Addresses and strides are multiples of ``lanes`` numbers of their operand's format; those of the
    weights (``b``) of TAIL are even. ``n`` is a multiple of ``lanes`` except in SOFTMAX, ARGMAX and
    REDUCE; TRANSPOSE takes a multiple of ``Schedule.run`` rows, and ROTARY needs two lanes. None of
    that is checked. The result may replace operand a if it has the same stride and its elements are
    no wider.

    Parameters
    ----------
    config : TileConfig
        The configuration.
    number : int
        Number v of the unit: it takes rows v, v + ``vector_units``, … of every instruction, in
        TRANSPOSE blocks of ``Schedule.run`` rows. All units are in step: each works as long as the
        one that has the most rows, and reads and writes nothing in the time of a row that it has
        not. With more than one, rows of the result may not share bytes.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.EPILOGUE)))``
        Instructions. One is taken when those before are done, or, if it may ``overlap``, when the
        one before has issued all its slots and fewer than :data:`CONTEXTS` are at work.
    overlap : ``In(1)``
        What ``i`` offers may start before the one before is done. It does if both are of the same
        operation and variant, with the same formats and constants, but for TRANSPOSE. Then it may
        read nothing that those at work write; it may write there, since it writes later.
    done : ``Out(1)``
        High in the cycle of an instruction's last write, or, if it writes nothing, in the cycle
        after that in which it was taken.
    busy : ``Out(1)``
        An instruction is at work.
    a, b, c : ``Out(OperandSignature(lanes))``
        Read ports.
    o : ``Out(ResultSignature(lanes))``
        Write port.

    Raises
    ------
    ValueError
        As :func:`check_vector_sums` says.
    """

    def __init__(self, config: TileConfig, number: int = 0):
        check_vector_sums(config)
        self._number = number
        self._schedule = Schedule.of(config)
        lanes = config.npu.lanes
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.EPILOGUE))),
                "overlap": In(1),
                "done": Out(1),
                "busy": Out(1),
                "a": Out(OperandSignature(lanes)),
                "b": Out(OperandSignature(lanes)),
                "c": Out(OperandSignature(lanes)),
                "o": Out(ResultSignature(lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        m.submodules.decoder = decoder = Decoder(schedule, self._number)
        m.submodules.issuer = issuer = Issuer(schedule.partial_sums)

        # One instruction at a time, or several of the same work.
        work = Signal(Work)
        context = Signal(exact_log2(CONTEXTS))  # of the instruction that started last
        following = (context + 1)[: len(context)]
        walks = Signal(data.ArrayLayout(data.StructLayout(dict.fromkeys("abco", Walk)), CONTEXTS))
        started = Signal(range(CONTEXTS + 1))  # instructions that are not done, but for empty ones
        start = Signal()
        filled = Signal()
        empty = Signal()
        last_write = Signal()
        follows = Signal()
        transposes = work.route == Route.TRANSPOSE
        m.d.comb += [
            decoder.i.eq(self.i.payload),
            issuer.loops.eq(decoder.loops),
            issuer.loops.context.eq(following),
            follows.eq(
                self.overlap
                & (started != 0)
                & (started != CONTEXTS)
                & issuer.free
                & (decoder.work == work)
                & ~transposes
                & ~decoder.empty
            ),
            self.busy.eq((started != 0) | empty),
            self.i.ready.eq(~self.busy | follows),
            start.eq(self.i.valid & self.i.ready),
            filled.eq(start & ~decoder.empty),
            issuer.start.eq(filled),
            self.done.eq(last_write | empty),
        ]
        m.d.sync += [
            empty.eq(start & decoder.empty),
            started.eq(started + filled - last_write),
        ]
        with m.If(filled):
            m.d.sync += [work.eq(decoder.work), context.eq(following)]
            m.d.sync += [walks[following][name].eq(getattr(decoder, name)) for name in "abco"]

        # The slots in flight. They move as one word, which is cheap to simulate.
        taps = Signal(taps_layout(schedule.taps))
        slot = data.Layout.cast(Slot)
        earlier = Signal((schedule.taps - 1) * slot.size)
        valid_bits = sum(
            1 << tap * slot.size + slot["valid"].offset for tap in range(schedule.taps - 1)
        )
        m.d.comb += taps.as_value().eq(Cat(issuer.o, earlier))
        m.d.sync += earlier.eq(taps.as_value())
        with m.If(~self.busy):  # what an instruction leaves in the taps is not the next one's
            m.d.sync += earlier.eq(taps.as_value() & ~C(valid_bits, len(earlier)))

        self._operands(m, walks, work, taps)
        lanes, largest, scalars = self._lanes(m, work, taps)
        self._results(m, walks, context, work, taps, lanes, largest, scalars, last_write)
        return m

    def _operands(self, m, walks, work, taps):
        """Read operands: the addresses follow the slots at the distance of their use."""
        schedule, route = self._schedule, work.route
        for name, place in (("a", schedule.a), ("b", schedule.b), ("c", schedule.c)):
            port = getattr(self, name)
            m.submodules[f"address_{name}"] = generator = AddressGenerator()
            slot = select(m, f"slot_{name}", taps, route, of_routes(place))
            m.d.comb += [
                generator.walk.eq(walks[slot.context][name]),
                generator.context.eq(slot.context),
                generator.enable.eq(slot.valid),
                generator.advance.eq(slot.advance),
                port.enable.eq(slot.valid & slot.live & ~slot.absent),
                port.address.eq(generator.address),
                port.format.eq(work[f"{name}_format"]),
            ]
            if name == "a":
                with m.If(slot.end & (route == Route.TAIL)):
                    m.d.comb += generator.advance.eq(Mux(slot.row_end, Advance.GROUP, Advance.ROW))
                with m.If(slot.end & ~slot.row_end & (route == Route.ROTARY)):
                    m.d.comb += generator.advance.eq(Advance.STEP)
                with m.If(slot.end & slot.row_end & (route == Route.TRANSPOSE)):
                    m.d.comb += generator.advance.eq(Advance.GROUP)
            elif name == "b":
                with m.If(slot.end & (route == Route.TAIL)):
                    m.d.comb += generator.advance.eq(Mux(slot.row_end, Advance.ROW, Advance.REPEAT))
                with m.If(slot.end & ~slot.row_end & (route == Route.ROTARY)):
                    m.d.comb += generator.advance.eq(Advance.REPEAT)
            else:
                with m.If(route == Route.TAIL):
                    m.d.comb += [
                        generator.enable.eq(slot.valid & slot.fold),
                        generator.advance.eq(Mux(slot.row_end, Advance.ROW, Advance.STEP)),
                        port.enable.eq(slot.valid & slot.fold & work.reads_c & ~slot.absent),
                    ]
            with m.If((route == Route.NORM) | (route == Route.RMS)):
                if name != "a":
                    m.d.comb += port.enable.eq(slot.valid & slot.live & slot.result & ~slot.absent)
            with m.If(~Cat(route == way for way in _READERS[name]).any()):
                m.d.comb += port.enable.eq(0)

    def _lanes(self, m, work, taps):
        """Build the lanes, and what sums and compares over them."""
        schedule = self._schedule
        control, tree = Control(schedule), LaneTree(schedule.lanes, schedule.partial_sums)
        # Their phases need not run while there is nothing to sum.
        m.submodules.control = gated(self.busy, control)
        m.submodules.scalars = scalars = RowScalars(schedule)
        m.submodules.tree = gated(self.busy, tree)
        m.submodules.largest = largest = Largest(schedule.lanes, _INDEX_BITS)
        lanes = []
        for number in range(schedule.lanes):
            m.submodules[f"lane_{number}"] = lane = Lane(
                schedule.partial_sums, odd=bool(number % 2)
            )
            for name in ("a", "b", "c"):
                port = getattr(self, name)
                m.d.comb += getattr(lane, name).eq(
                    Mux(
                        port.format == NumberFormat.BF16,
                        port.data.word_select(number, 16),
                        port.data.word_select(number, 32),
                    )
                )
            m.d.comb += [
                lane.scalars.eq(scalars.o),
                lane.control.eq(control.o),
                lane.phase.eq(control.phase),
                lane.summed.eq(control.summed[number]),
                lane.kept.eq(control.kept[number]),
                tree.i[number].eq(lane.sum),
                largest.i[number].eq(lane.product),
            ]
            lanes.append(lane)
        for number, lane in enumerate(lanes):
            partner = lanes[number ^ 1] if len(lanes) > 1 else lane
            m.d.comb += [
                lane.partner_a.eq(partner.operand_a),
                lane.partner_b.eq(partner.operand_b),
            ]

        m.d.comb += [
            control.taps.eq(taps),
            control.route.eq(work.route),
            control.function.eq(work.function),
            *(getattr(control, f).eq(work[f]) for f in ("a_format", "b_format", "c_format")),
            control.o_format.eq(work.o_format),
            tree.take.eq(control.folded),
            largest.live.eq(control.compared),
            largest.first.eq(control.compared_first),
            scalars.taps.eq(taps),
            scalars.route.eq(work.route),
            scalars.x.eq(work.x),
            scalars.y.eq(work.y),
            scalars.sum.eq(tree.o),
            scalars.largest.eq(largest.value),
        ]

        # The weight of a token is one of the numbers of operand b.
        weights = Signal(data.ArrayLayout(Binary32, schedule.lanes))
        m.d.comb += [weights[n].eq(lane.operand_b) for n, lane in enumerate(lanes)]
        token = self.b.address[1 : 1 + exact_log2(schedule.lanes)]
        for cycle in range(1, READ_LATENCY + 2):
            earlier, token = token, Signal.like(token, name=f"token_{cycle}")
            m.d.sync += token.eq(earlier)
        m.d.comb += scalars.weight.eq(weights.as_value().word_select(token, 32))
        return lanes, largest, scalars

    def _results(self, m, walks, context, work, taps, lanes, largest, scalars, last_write):
        """Write results of the lanes, numbers and indices of rows, and columns."""
        schedule, route = self._schedule, work.route
        m.submodules.address_o = generator = AddressGenerator()
        m.submodules.transposer = transposer = Transposer(
            schedule.lanes, schedule.run, schedule.banks
        )
        slot = select(m, "slot_o", taps, route, of_routes(schedule.write))
        row = taps[READ_LATENCY]
        m.d.comb += [
            transposer.i.eq(self.a.data[: 16 * schedule.lanes]),
            transposer.take.eq(row.valid & (route == Route.TRANSPOSE)),
            transposer.end.eq(row.end),
            transposer.row_end.eq(row.row_end),
            transposer.ending.eq(row.ending),
        ]

        write = Signal()  # in step with the other units
        absent = Signal()
        block_absent = Signal()  # of the block in the transposer
        with m.If(transposer.take & transposer.end):
            m.d.sync += block_absent.eq(row.absent)
        m.d.comb += [
            absent.eq(Mux(route == Route.TRANSPOSE, block_absent, slot.absent)),
            generator.walk.eq(walks[generator.context].o),
            generator.context.eq(Mux(route == Route.TRANSPOSE, context, slot.context)),
            generator.enable.eq(write),
            generator.advance.eq(Mux(slot.last, Advance.ROW, Advance.STEP)),
            write.eq(slot.valid & slot.live & slot.result),
            last_write.eq(write & slot.last & slot.ending),
            self.o.enable.eq((write & ~absent).replicate(schedule.lanes)),
            self.o.address.eq(generator.address),
            self.o.format.eq(work.o_format),
        ]
        for number, lane in enumerate(lanes):
            with m.If(work.o_format == NumberFormat.BF16):
                m.d.comb += self.o.data.word_select(number, 16).eq(lane.o[:16])
            with m.Else():
                m.d.comb += self.o.data.word_select(number, 32).eq(lane.o)
        number = scalars.reduced
        reduced = Mux(
            work.o_format == NumberFormat.BF16, narrow(number).as_value(), number.as_value()
        )
        with m.Switch(route):
            with m.Case(Route.TAIL):
                m.d.comb += [
                    write.eq(slot.valid & slot.fold),
                    last_write.eq(write & slot.ending),
                    generator.advance.eq(Mux(slot.row_end, Advance.ROW, Advance.STEP)),
                ]
            with m.Case(Route.ROTARY):
                m.d.comb += generator.advance.eq(
                    Mux(slot.last & slot.row_end, Advance.ROW, Advance.STEP)
                )
            with m.Case(Route.SUM):
                m.d.comb += [
                    write.eq(slot.valid & slot.fold),
                    last_write.eq(write & slot.ending),
                    generator.advance.eq(Advance.ROW),
                    self.o.data.eq(reduced),
                ]
            with m.Case(Route.MAX):
                m.d.comb += [write.eq(slot.valid & slot.last), self.o.data.eq(reduced)]
            with m.Case(Route.ARGMAX):
                m.d.comb += [write.eq(slot.valid & slot.last), self.o.data.eq(largest.index)]
            with m.Case(Route.TRANSPOSE):
                runs = schedule.lanes // schedule.run
                place = (generator.address >> exact_log2(2 * schedule.run))[: exact_log2(runs)]
                m.d.comb += [
                    write.eq(transposer.valid),
                    last_write.eq(transposer.done),
                    generator.advance.eq(transposer.advance),
                    self.o.data.eq(transposer.o.as_value().replicate(runs)),
                ]
                for number in range(runs):
                    lower, upper = number * schedule.run, (number + 1) * schedule.run
                    m.d.comb += self.o.enable[lower:upper].eq(
                        (write & ~absent & (place == number)).replicate(schedule.run)
                    )


_ALL = tuple(Route)

#: Routes that read each operand.
_READERS = {
    "a": _ALL,
    "b": (
        *(Route.ADD, Route.SUBTRACT, Route.MULTIPLY, Route.GATE, Route.ROTARY),
        *(Route.GELU_TANH, Route.GELU_ERF, Route.NORM, Route.RMS, Route.TAIL),
    ),
    "c": (*PAIRED, Route.NORM, Route.TAIL),
}
