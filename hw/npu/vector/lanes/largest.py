"""The largest element of a row, and where it stands."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.binary32 import NAN_BITS, Binary32
from hw.arith.compare import is_greater

__all__ = ["Largest"]


class Largest(wiring.Component):
    """Largest element of a row that comes ``lanes`` elements a cycle, and its index.

    Of equals the first one counts; a NaN is less than anything. Of a row of NaNs the index is 0.

    The result is there :attr:`latency` cycles after the last elements, for as many cycles as pass
    until ``live`` is set next. A row may follow another at once; there is no backpressure.

    Parameters
    ----------
    lanes : int
        Lanes, a power of two.
    index_bits : int
        Width of an index.

    Members
    -------
    i : ``In(ArrayLayout(Binary32, lanes))``
        Elements; canonical, as arithmetic units give them.
    live : ``In(lanes)``
        Which of them belong to the row.
    first : ``In(1)``
        They are the first of their row.
    value : ``Out(Binary32)``
        The largest element.
    index : ``Out(index_bits)``
        Its index.

    Attributes
    ----------
    latency : int
        Cycles from elements to result.
    """

    def __init__(self, lanes, index_bits):
        self._lanes = lanes
        self._index_bits = index_bits
        self.latency = self.latency_of(lanes)
        super().__init__(
            {
                "i": In(data.ArrayLayout(Binary32, lanes)),
                "live": In(lanes),
                "first": In(1),
                "value": Out(Binary32),
                "index": Out(index_bits),
            }
        )

    @staticmethod
    def latency_of(lanes: int) -> int:
        """Return the latency of a unit, without building one."""
        return 1 + exact_log2(lanes)

    def elaborate(self, platform):
        m = Module()
        lane_bits = exact_log2(self._lanes)
        entry = data.StructLayout({"value": Binary32, "place": self._index_bits - lane_bits})

        # In every lane: the largest element, and its place among those of the lane.
        place = Signal(self._index_bits - lane_bits)
        with m.If(self.live.any()):
            m.d.sync += place.eq(Mux(self.first, 1, place + 1))
        entries = []
        for lane in range(self._lanes):
            best = Signal(entry, reset_less=True, name=f"best_{lane}")
            number = self.i[lane]
            with m.If(self.first & self.live.any()):
                m.d.sync += [
                    best.value.eq(Mux(self.live[lane], number.as_value(), NAN_BITS)),
                    best.place.eq(0),
                ]
            with m.Elif(self.live[lane] & is_greater(number, best.value)):
                m.d.sync += [best.value.eq(number), best.place.eq(place)]
            entries.append((best, C(0, 0)))

        # Over the lanes: of equals the earlier place counts, then the lower lane.
        while len(entries) > 1:
            candidates, entries = entries, []
            for (left, left_lane), (right, right_lane) in zip(
                candidates[0::2], candidates[1::2], strict=True
            ):
                suffix = f"{len(candidates) // 2}_{len(entries)}"
                best = Signal(entry, reset_less=True, name=f"best_{suffix}")
                lane = Signal(len(left_lane) + 1, reset_less=True, name=f"lane_{suffix}")
                right_wins = is_greater(right.value, left.value) | (
                    ~is_greater(left.value, right.value) & (right.place < left.place)
                )
                m.d.sync += [
                    best.eq(Mux(right_wins, right.as_value(), left.as_value())),
                    lane.eq(Cat(Mux(right_wins, right_lane, left_lane), right_wins)),
                ]
                entries.append((best, lane))

        ((best, lane),) = entries
        m.d.comb += [self.value.eq(best.value), self.index.eq(Cat(lane, best.place))]
        return m
