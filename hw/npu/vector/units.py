"""The vector units of a tile, in step: each takes its share of the rows of every instruction."""

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig
from hw.npu.instruction import operand_layout
from hw.npu.vector.ports import OperandSignature, ResultSignature
from hw.npu.vector.unit import VectorUnit
from hw.program.instruction_set import Queue

__all__ = ["VectorUnits"]


class VectorUnits(wiring.Component):
    """``vector_units`` units behind one port for instructions.

    An instruction is dealt to all units in the cycle in which it is taken: unit v has rows v,
    v + units, … Every unit has a control of its own, since no signal could reach the lanes of all
    in a cycle, and all count the rows of the one that has the most (unit 0 is always one such), so
    they are ready, busy and done in the same cycles. Those of unit 0 stand for all.

    Parameters
    ----------
    config : TileConfig
        The configuration.

    Members
    -------
    i, overlap, done, busy
        As of :class:`hw.npu.vector.unit.VectorUnit`.
    a_{v}, b_{v}, c_{v} : ``Out(OperandSignature(lanes))``
        Read ports of unit v.
    o_{v} : ``Out(ResultSignature(lanes))``
        Its write port.

    Attributes
    ----------
    units : list of VectorUnit
        The units.

    Raises
    ------
    ValueError
        As :func:`hw.npu.vector.unit.check_vector_sums` says.
    """

    def __init__(self, config: TileConfig):
        self.units = [VectorUnit(config, number) for number in range(config.npu.vector_units)]
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.EPILOGUE))),
                "overlap": In(1),
                "done": Out(1),
                "busy": Out(1),
                **{
                    f"{name}_{number}": Out(OperandSignature(config.npu.lanes))
                    for number in range(config.npu.vector_units)
                    for name in "abc"
                },
                **{
                    f"o_{number}": Out(ResultSignature(config.npu.lanes))
                    for number in range(config.npu.vector_units)
                },
            }
        )

    def elaborate(self, platform):
        m = Module()
        for number, unit in enumerate(self.units):
            m.submodules[f"unit_{number}"] = unit
            m.d.comb += [
                unit.i.valid.eq(self.i.valid),
                unit.i.payload.eq(self.i.payload),
                unit.overlap.eq(self.overlap),
            ]
            for name in "abco":
                port = getattr(self, f"{name}_{number}")
                wiring.connect(m, getattr(unit, name), wiring.flipped(port))
        first = self.units[0]
        m.d.comb += [
            self.i.ready.eq(first.i.ready),
            self.done.eq(first.done),
            self.busy.eq(first.busy),
        ]
        return m
