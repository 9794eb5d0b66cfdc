"""MAC unit of a bank: columns of a row times the global vector buffer, summed in slots."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32, add, tree_sum
from hw.arith.dot import Dot, dot
from hw.config import DieConfig
from hw.protocol.results import result_backlog

__all__ = [
    "MacUnit",
    "accumulate_golden",
    "check_partial_sums",
    "fold_latency",
    "gemv_golden",
    "mac_control",
]

Floats = npt.NDArray[np.float32]


def accumulate_golden(sums: Floats, count: int, columns: Floats, vector: Floats) -> Floats:
    """Multiply columns by the vector and add the products to a slot's partial sums.

    Parameters
    ----------
    sums
        Partial sums, ``[..., partial sums]``: +0 in a slot that was just cleared.
    count
        Columns since the slot was cleared: the next one goes to partial sum ``count`` modulo their
        number.
    columns, vector
        bfloat16 numbers carried as binary32, ``[..., n, lanes]``, in the order of execution; the
        leading axes (banks, slots) are broadcast. A product by a vector element ±0 is +0, whatever
        the column holds.

    Returns
    -------
    The new partial sums, of the shape of the inputs together.
    """
    products = dot(columns, vector, zero_b=True)
    partial_sums = sums.shape[-1]
    shape = np.broadcast_shapes(sums.shape[:-1], products.shape[:-1])
    sums = np.broadcast_to(sums, (*shape, partial_sums)).copy()
    n = products.shape[-1]
    start = 0
    while start < n:
        first = (count + start) % partial_sums
        stop = min(n, start + partial_sums - first)
        turn = slice(first, first + stop - start)
        sums[..., turn] = add(sums[..., turn], products[..., start:stop])
        start = stop
    return sums


def gemv_golden(columns: Floats, vector: Floats, partial_sums: int) -> Floats:
    """Return what reading a slot gives after these columns, the slot cleared before the first.

    Parameters
    ----------
    columns, vector
        bfloat16 numbers carried as binary32, ``[..., n, lanes]``, in the order of execution over
        all PIM_GEMV commands since the slot was cleared.
    partial_sums
        Of the configuration; column n goes to partial sum n modulo their number.

    Returns
    -------
    binary32 numbers, ``[...]``.

    >>> gemv_golden(np.ones((2, 3, 4), np.float32), np.full((3, 4), 0.5, np.float32), 2).tolist()
    [6.0, 6.0]
    """
    sums = np.zeros(partial_sums, np.float32)
    return tree_sum(accumulate_golden(sums, 0, columns, vector))


def mac_control(config: DieConfig) -> wiring.Signature:
    """Return the interface that steers the MAC units of a channel, all in lock step.

    Each group of members belongs to one stage of the unit, so it comes in a cycle of its own, here
    counted from d, in which a column's dot product leaves the adder tree.

    Members
    -------
    read, read_slot, read_partial, read_first
        In d - 1: read the partial sum to add to; ``read_first``: take +0 instead.
    write, write_slot, write_partial
        In d + :attr:`Adder.latency <hw.arith.adder.Adder.latency>`: write the partial sum.
    fold, fold_slot, fold_valid
        Any time after the last write: fold the partial sums of a slot; those that are not valid
        count as +0.
    keep, keep_place
        When they are folded (:func:`fold_latency` cycles later): keep the result.
    take, take_place
        In that cycle or later: drive a kept result, from the next cycle on.
    """
    slot = Out(range(config.pim.slots))
    partial = Out(range(config.pim.partial_sums))
    place = Out(range(result_backlog(config)))
    return wiring.Signature(
        {
            "read": Out(1),
            "read_slot": slot,
            "read_partial": partial,
            "read_first": Out(1),
            "write": Out(1),
            "write_slot": slot,
            "write_partial": partial,
            "fold": Out(1),
            "fold_slot": slot,
            "fold_valid": Out(config.pim.partial_sums),
            "keep": Out(1),
            "keep_place": place,
            "take": Out(1),
            "take_place": place,
        }
    )


def fold_latency(config: DieConfig) -> int:
    """Return the cycles from the fold of a slot's partial sums to its result."""
    return 1 + (config.pim.partial_sums.bit_length() - 1) * Adder.latency


def check_partial_sums(config: DieConfig) -> None:
    """Check that an addition is complete before its partial sum is needed again.

    Raises
    ------
    ValueError
        If the partial sums are too few for the latency of the adder.
    """
    if config.pim.partial_sums * config.memory.timing.nCCDL <= Adder.latency:
        raise ValueError(
            f"partial_sums × nCCDL must be above {Adder.latency} cycles, the latency of the adder, "
            f"not {config.pim.partial_sums!r} × {config.memory.timing.nCCDL!r}"
        )


class MacUnit(wiring.Component):
    """Multipliers, adder tree and accumulators of one bank.

    A column may enter every nCCDL cycles; its dot product, :meth:`hw.arith.dot.Dot.latency_of`
    cycles later, is added to one of ``partial_sums`` sums of a slot, in turn, so that an addition
    is complete before its sum is needed again. Slots are read while columns go on. Everything is
    steered by the sequencer; there is no backpressure.

    Parameters
    ----------
    config
        Sizes: column_bytes, slots, partial_sums.

    Members
    -------
    row : ``In(ArrayLayout(BF16, lanes))``
        A column of the row.
    vector : ``In(ArrayLayout(BF16, lanes))``
        As much of the vector; a product by ±0 is +0.
    control : ``In(mac_control(config))``
        Steering.
    result : ``Out(Binary32)``
        The result that was taken last.

    Raises
    ------
    ValueError
        If the partial sums are too few for the latency of the adder.
    """

    def __init__(self, config: DieConfig):
        check_partial_sums(config)
        self._config = config
        column = data.ArrayLayout(BF16, config.mac_lanes)
        super().__init__(
            {
                "row": In(column),
                "vector": In(column),
                "control": In(mac_control(config)),
                "result": Out(Binary32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, control = self._config, self.control
        m.submodules.dot = products = Dot(config.mac_lanes, zero_b=True)
        m.submodules.adder = adder = Adder()
        m.d.comb += [products.a.eq(self.row), products.b.eq(self.vector), adder.b.eq(products.o)]

        # Partial sums: a memory for each, so that a fold reads all of a slot at once.
        partial = Signal.like(control.read_partial)
        first = Signal()
        valid = Signal(config.pim.partial_sums)
        m.d.sync += [
            partial.eq(control.read_partial),
            first.eq(control.read_first),
            valid.eq(control.fold_valid),
        ]
        sums = []  # the partial sums that columns are added to
        terms = []  # those that are folded
        for number in range(config.pim.partial_sums):
            memory = Memory(shape=Binary32, depth=config.pim.slots, init=[])
            m.submodules[f"sums_{number}"] = memory
            write_port = memory.write_port()
            read_port = memory.read_port(transparent_for=(write_port,))
            fold_port = memory.read_port()
            m.d.comb += [
                read_port.addr.eq(control.read_slot),
                read_port.en.eq(control.read & (control.read_partial == number)),
                write_port.addr.eq(control.write_slot),
                write_port.data.eq(adder.o),
                write_port.en.eq(control.write & (control.write_partial == number)),
                fold_port.addr.eq(control.fold_slot),
                fold_port.en.eq(control.fold),
            ]
            sums.append(read_port.data)
            term = Signal(Binary32, name=f"term_{number}")
            m.d.comb += term.eq(Mux(valid[number], fold_port.data, 0))
            terms.append(term)
        with m.If(~first):
            m.d.comb += adder.a.eq(Array(sum.as_value() for sum in sums)[partial])

        # Fold.
        level = 0
        while len(terms) > 1:
            pairs = []
            for pair in range(len(terms) // 2):
                fold = m.submodules[f"fold_{level}_{pair}"] = Adder()
                m.d.comb += [fold.a.eq(terms[2 * pair]), fold.b.eq(terms[2 * pair + 1])]
                pairs.append(fold.o)
            terms = pairs
            level += 1

        # Results that wait for the bus.
        m.submodules.results = results = Memory(
            shape=Binary32, depth=result_backlog(config), init=[]
        )
        write_port = results.write_port()
        read_port = results.read_port(transparent_for=(write_port,))
        m.d.comb += [
            write_port.addr.eq(control.keep_place),
            write_port.data.eq(terms[0]),
            write_port.en.eq(control.keep),
            read_port.addr.eq(control.take_place),
            read_port.en.eq(control.take),
            self.result.eq(read_port.data),
        ]
        return m
