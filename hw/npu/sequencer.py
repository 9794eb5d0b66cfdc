"""The sequencer: starts instructions in the order of their queues when their tokens are there."""

from functools import reduce
from operator import or_

from amaranth.hdl import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig
from hw.npu.instruction import operand_layout
from hw.npu.instruction_queue import INDEX_BITS, InstructionQueue, token_queues
from hw.program.instruction_set import Queue, bit_layout

__all__ = ["Error", "Sequencer", "error_layout", "queue_kinds"]


class Error(enum.Enum, shape=3):
    """Why a device stops."""

    NONE = 0
    ILLEGAL = 1  #: the head of the queue is no instruction of it; see :class:`InstructionQueue`
    OVERFLOW = 2  #: the queue sent a token to a counter that is full
    DEADLOCK = 3  #: every queue waits for tokens, and nothing runs
    ADDRESS = 4  #: an instruction of the queue addresses something outside of a memory


def error_layout(config: TileConfig) -> data.StructLayout:
    """Shape of the error status: the cause, the number of the queue, an index in its stream.

    The index is that of the instruction; for ADDRESS that of the oldest one that runs, at or behind
    which it is. Queue and index are 0 for a deadlock.
    """
    return data.StructLayout(
        {"code": Error, "queue": range(token_queues(config)), "index": INDEX_BITS}
    )


def queue_kinds(config: TileConfig) -> list[Queue]:
    """Return the kind of every queue, in the order of their numbers."""
    return [*(kind for kind in Queue if kind != Queue.PIM), *[Queue.PIM] * config.memory.channels]


def _running(config: TileConfig, kind: Queue) -> int:
    """Instructions of a queue that may run at once (chosen)."""
    if kind in (Queue.LOAD, Queue.TAIL, Queue.STORE):
        return 2 * config.npu.descriptors
    return {Queue.MATRIX: 16, Queue.PIM: 8}.get(kind, 4)


class Sequencer(wiring.Component):
    """Every instruction queue, and the tokens between them.

    A token that an instruction sends when it retires in cycle t can be taken from cycle t + 1 on;
    an instruction takes all its tokens in the cycle in which it starts. Counters have 8 bits. They
    exist for every ordered pair of queues but those of PIM queues of two channels; a queue may send
    tokens to itself. They are zero when a program starts: what a program leaves is dropped.

    A program is done when END has retired in every queue, in the store queue not before everything
    stored is in the cells, where the host may read it; :attr:`done` rises then and falls in the
    cycle after the first instruction of the next program was taken. At an error no instruction
    starts any more, until a reset; of two errors in one cycle the lowest queue's is reported.

    Members
    -------
    queue_{q} : ``In(stream.Signature(unsigned(width)))``
        Instructions of queue ``q`` from the host.
    o_{q} : ``Out(stream.Signature(operand_layout(kind)))``
        Its instructions to the unit, in the cycle in which they start.
    done_{q} : ``In(sub-units)``
        Pulses of the unit: the oldest instruction of a sub-unit is complete.
    bad_address : ``In(queues)``
        Pulses of the units: an instruction of the queue addresses something outside of a memory.
    settled : ``In(1)``
        What the completed instructions of the store queue have written is in the cells.
    start, retire : ``Out(queues)``
        Pulses: an instruction of the queue starts, retires.
    done : ``Out(1)``
        The program is over.
    error : ``Out(error_layout(config))``
        The first error since reset.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        self._kinds = queue_kinds(config)
        self._queues = [
            InstructionQueue(
                config, kind, running=_running(config, kind), partners=self._partners(q)
            )
            for q, kind in enumerate(self._kinds)
        ]
        members = {}
        for q, (kind, queue) in enumerate(zip(self._kinds, self._queues, strict=True)):
            members[f"queue_{q}"] = In(stream.Signature(unsigned(bit_layout(kind)[1])))
            members[f"o_{q}"] = Out(stream.Signature(operand_layout(kind)))
            members[f"done_{q}"] = In(queue.sub_units)
        count = len(self._kinds)
        super().__init__(
            {
                **members,
                "bad_address": In(count),
                "settled": In(1, init=1),
                "start": Out(count),
                "retire": Out(count),
                "done": Out(1),
                "error": Out(error_layout(config)),
            }
        )

    def _partners(self, queue: int) -> int:
        """Return the queues that have a counter for this one's tokens, and it for theirs."""
        partners = (
            other
            for other in range(len(self._kinds))
            if min(queue, other) < Queue.PIM or queue == other
        )
        return sum(1 << other for other in partners)

    def elaborate(self, platform):
        m = Module()
        numbers = range(len(self._kinds))
        clear = Signal()
        stopped = Signal()

        for q, queue in enumerate(self._queues):
            m.submodules[f"queue_{q}"] = queue
            wiring.connect(m, wiring.flipped(getattr(self, f"queue_{q}")), queue.i)
            wiring.connect(m, queue.o, wiring.flipped(getattr(self, f"o_{q}")))
            m.d.comb += [
                queue.done.eq(getattr(self, f"done_{q}")),
                queue.clear.eq(clear),
                queue.may_end.eq(self.settled if self._kinds[q] is Queue.STORE else 1),
                self.start[q].eq(queue.start),
                self.retire[q].eq(queue.retire),
            ]

        # Tokens: of each consumer, a counter for every producer. They rest, and so does what
        # depends on them, while nothing of theirs starts and nothing retires.
        retiring = Signal()
        m.d.comb += retiring.eq(self.retire.any())
        overflow = Signal(len(self._kinds))
        lacking = Signal(len(self._kinds))
        all_full = []
        for consumer in numbers:
            queue = self._queues[consumer]
            producers = [p for p in numbers if self._partners(consumer) >> p & 1]
            tokens = Signal(data.ArrayLayout(8, len(self._kinds)), name=f"tokens_{consumer}")
            full = Signal(len(self._kinds), name=f"full_{consumer}")
            following, too_many, none = [], [], []
            for producer in numbers:
                count = tokens[producer]
                sent = self._queues[producer].signal[consumer] if producer in producers else C(0)
                taken = queue.start & queue.wait[producer]
                following.append((count + sent - taken)[:8])
                too_many.append(sent & ~taken & count.all())
                none.append(count == 0)
            with m.If(clear):
                m.d.sync += tokens.eq(0)
            with m.Elif(retiring | queue.start):
                m.d.sync += tokens.eq(Cat(following))
            m.d.comb += [
                full.eq(Mux(retiring, Cat(too_many), 0)),
                lacking[consumer].eq(Mux(queue.wait.any(), (queue.wait & Cat(none)).any(), 0)),
            ]
            all_full.append(full)

            m.d.comb += queue.granted.eq(
                queue.head & ~lacking[consumer] & ~queue.illegal & ~stopped
            )
        m.d.comb += overflow.eq(reduce(or_, all_full))

        # The end of a program.
        ended = Cat(queue.ended for queue in self._queues)
        taken = Cat(queue.i.valid & queue.i.ready for queue in self._queues)
        m.d.comb += clear.eq(ended.all())
        with m.If(clear):
            m.d.sync += self.done.eq(1)
        with m.Elif(taken.any()):
            m.d.sync += self.done.eq(0)

        # Errors. All queues wait and nothing runs: no token can ever come.
        waiting = Cat(
            queue.idle & (queue.ended | (queue.head & lacking[q]))
            for q, queue in enumerate(self._queues)
        )
        causes = (
            (Error.ILLEGAL, Cat(queue.illegal for queue in self._queues)),
            (Error.OVERFLOW, overflow),
            (Error.ADDRESS, self.bad_address),
        )
        with m.If(~stopped):
            with m.If(waiting.all() & ~ended.all()):
                m.d.sync += [stopped.eq(1), self.error.code.eq(Error.DEADLOCK)]
            for q in reversed(numbers):
                queue = self._queues[q]
                for code, flags in causes:
                    with m.If(flags[q]):
                        m.d.sync += [
                            stopped.eq(1),
                            self.error.code.eq(code),
                            self.error.queue.eq(q),
                            self.error.index.eq(
                                queue.started if code is Error.ILLEGAL else queue.retired
                            ),
                        ]

        return m
