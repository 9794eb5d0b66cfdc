"""One instruction queue: instructions wait, start and retire in order."""

from amaranth.hdl import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig
from hw.npu.instruction import SUB_UNITS, instruction_layout, operand_layout
from hw.program.instruction_set import HEADER, INSTRUCTIONS, OPERANDS, Opcode, Queue, bit_layout

__all__ = ["INDEX_BITS", "InstructionQueue", "token_queues"]

#: Bits of the index of an instruction in its queue; longer streams count modulo 2^20.
INDEX_BITS = 20


def token_queues(config: TileConfig) -> int:
    """Queues that tokens can name: the scalar ones, then one PIM queue a channel."""
    return Queue.PIM + config.memory.channels


class InstructionQueue(wiring.Component):
    """Instructions of one queue, from the host to a unit, and the record of those that run.

    The head starts in the first cycle in which it is granted (its tokens are there, nothing has
    gone wrong), the unit takes it and the record has room; :attr:`start` is high in that cycle.
    An instruction retires at the earliest in the cycle after its unit's done pulse, and after its
    predecessors, one a cycle; :attr:`retire` is high in that cycle. END goes to no unit and retires
    when all before it have and it may. An instruction from the host can start two cycles after it
    was taken.

    After END no instruction is taken until :attr:`clear`. Tokens are the sequencer's.

    Parameters
    ----------
    kind : Queue
        What the queue takes.
    running : int
        Instructions that may run at once.
    partners : int
        Queues (bit: number) of which it can take tokens and to which it can send some.

    Members
    -------
    i : ``In(stream.Signature(unsigned(width)))``
        Instructions, packed as :func:`hw.program.instruction_set.bit_layout` says.
    o : ``Out(stream.Signature(operand_layout(kind)))``
        To the unit: every operation but END.
    done : ``In(sub-units)``
        Pulses: the oldest instruction of a sub-unit is complete.
    head, wait : ``Out(1)``, ``Out(token_queues)``
        Whether an instruction waits at the head, and for tokens of which queues.
    granted : ``In(1)``
        Whether the head may start.
    start, retire, signal : ``Out(1)``, ``Out(1)``, ``Out(token_queues)``
        Pulses; to which queues a token goes with ``retire`` (zero otherwise).
    started, retired : ``Out(INDEX_BITS)``
        Instructions of the program that have: the index of the head, and that of the oldest that
        runs.
    illegal, idle, ended : ``Out(1)``
        Whether the head is no instruction of this queue, has an operand that it may not have, or
        names a queue that it cannot; whether nothing runs; whether END has retired.
    may_end : ``In(1)``
        Whether END may retire.
    clear : ``In(1)``
        The program is over: forget END.
    """

    def __init__(self, config: TileConfig, kind: Queue, *, running: int, partners: int):
        self._config = config
        self._kind = kind
        self._running = running
        self._partners = partners
        self._width = bit_layout(kind)[1]
        self.sub_units = 1 + max(SUB_UNITS.get(kind, {Opcode.END: 0}).values())
        queues = token_queues(config)
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(self._width))),
                "o": Out(stream.Signature(operand_layout(kind))),
                "done": In(self.sub_units),
                "head": Out(1),
                "wait": Out(queues),
                "granted": In(1),
                "start": Out(1),
                "retire": Out(1),
                "signal": Out(queues),
                "started": Out(INDEX_BITS),
                "retired": Out(INDEX_BITS),
                "illegal": Out(1),
                "idle": Out(1),
                "ended": Out(1),
                "may_end": In(1, init=1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        channels = self._config.memory.channels
        m.submodules.waiting = waiting = fifo.SyncFIFOBuffered(
            width=self._width, depth=self._config.npu.queue_depth
        )
        record = data.StructLayout({"unit": 2, "signal": token_queues(self._config)})
        m.submodules.running = running = fifo.SyncFIFOBuffered(
            width=record.size, depth=self._running
        )

        # From the host; nothing of the next program may enter behind END.
        ending = Signal()
        m.d.comb += [
            waiting.w_data.eq(self.i.payload),
            waiting.w_en.eq(self.i.valid & ~ending),
            self.i.ready.eq(waiting.w_rdy & ~ending),
        ]
        with m.If(self.clear):
            m.d.sync += ending.eq(0)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += ending.eq(self.i.payload[: HEADER[0].bits] == Opcode.END)

        # The head: decode, ask for tokens, start.
        head = data.View(instruction_layout(self._kind), waiting.r_data)
        header_bits = sum(item.bits for item in HEADER)
        end = Signal()
        count = Signal(range(self._running + 1))
        room = Signal()
        m.d.comb += [
            self.head.eq(waiting.r_rdy),
            self.wait.eq(Cat(head.wait, head.wait_channels[:channels])),
            end.eq(head.opcode == Opcode.END),
            room.eq(running.w_rdy),
            self.o.valid.eq(self.granted & ~end & room),
            self.o.payload.eq(Cat(head.opcode, waiting.r_data[header_bits:])),
            self.start.eq(self.granted & room & (end | self.o.ready)),
            waiting.r_en.eq(self.start),
        ]
        known = Signal()
        operands = {item.name: item.bits for item in OPERANDS[self._kind]}
        with m.Switch(head.opcode):
            for line in INSTRUCTIONS:
                if self._kind not in line.queues:
                    continue
                with m.Case(line.opcode):
                    m.d.comb += known.eq(1)
                    for name in line.positive:
                        with m.If(head[name] == 0):
                            m.d.comb += known.eq(0)
                    if line.functions and len(line.functions) < 1 << operands["function"]:
                        with m.If(head.function >= len(line.functions)):
                            m.d.comb += known.eq(0)
        named = Cat(head.wait | head.signal, head.wait_channels | head.signal_channels)
        absent = (named & ~C(self._partners, len(named))).any()
        m.d.comb += self.illegal.eq(self.head & (~known | absent))

        # The record of what runs, oldest first; END is complete as soon as it may.
        END_UNIT = self.sub_units
        entry = data.View(record, running.w_data)
        m.d.comb += [
            entry.unit.eq(0),
            entry.signal.eq(Cat(head.signal, head.signal_channels[:channels])),
            running.w_en.eq(self.start),
        ]
        with m.Switch(head.opcode):
            for opcode, unit in SUB_UNITS.get(self._kind, {}).items():
                with m.Case(opcode):
                    m.d.comb += entry.unit.eq(unit)
            with m.Case(Opcode.END):
                m.d.comb += entry.unit.eq(END_UNIT)

        # Completions wait here for their turn.
        oldest = data.View(record, running.r_data)
        complete = Signal(END_UNIT + 1)
        for unit in range(self.sub_units):
            pending = Signal(range(self._running + 1), name=f"complete_{unit}")
            taken = self.retire & (oldest.unit == unit)
            m.d.sync += pending.eq(pending + self.done[unit] - taken)
            m.d.comb += complete[unit].eq(pending != 0)
        m.d.comb += [
            complete[END_UNIT].eq(self.may_end),
            self.retire.eq(running.r_rdy & complete.bit_select(oldest.unit, 1)),
            running.r_en.eq(self.retire),
            self.idle.eq(count == 0),
        ]
        m.d.sync += count.eq(count + self.start - self.retire)
        for number, event in ((self.started, self.start), (self.retired, self.retire)):
            with m.If(self.clear):
                m.d.sync += number.eq(0)
            with m.Elif(event):
                m.d.sync += number.eq(number + 1)
        with m.If(self.retire):
            m.d.comb += self.signal.eq(oldest.signal)
        with m.If(self.clear):
            m.d.sync += self.ended.eq(0)
        with m.Elif(self.retire & (oldest.unit == END_UNIT)):
            m.d.sync += self.ended.eq(1)

        return m
