"""Tests of the sequencer: order, tokens, the end of a program, errors."""

import pytest

from hw.npu.sequencer import Error, Sequencer, queue_kinds
from hw.presets import TINY
from hw.program import instruction_set as isa
from hw.program.instruction_set import Opcode, Queue, bit_layout

QUEUES = Queue.PIM + TINY.memory.channels
WORK = {
    Queue.LOAD: Opcode.LOAD,
    Queue.TAIL: Opcode.LOAD,
    Queue.STORE: Opcode.STORE,
    Queue.MATRIX: Opcode.GEMM,
    Queue.EPILOGUE: Opcode.NORM,
    Queue.ATTENTION: Opcode.SOFTMAX,
    Queue.LINK: Opcode.ALLREDUCE,
    Queue.PIM: Opcode.GEMV,
}


def instruction(kind, opcode, **fields):
    bits, _width = bit_layout(kind)
    word = int(opcode)
    for name, value in fields.items():
        start, width = bits[name]
        assert value < 1 << width
        word |= value << start
    return word


def mask(*queues):
    return sum(1 << q for q in queues)


class Bench:
    """Streams in, units that take ``duration`` cycles and overlap, and what starts and retires."""

    def __init__(self, streams, durations=None):
        self.dut = Sequencer(TINY)
        self.kinds = queue_kinds(TINY)
        self.streams = streams
        self.durations = durations or {}
        self.starts = []
        self.retires = []
        self.payloads = []

    def host(self, q):
        async def testbench(ctx):
            port = getattr(self.dut, f"queue_{q}")
            for word in self.streams.get(q, []):
                ctx.set(port.payload, word)
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

        return testbench

    def unit(self, q):
        async def testbench(ctx):
            port = getattr(self.dut, f"o_{q}")
            done = getattr(self.dut, f"done_{q}")
            ctx.set(port.ready, 1)
            cycle, ends = 0, []
            async for _clk, _rst, valid, opcode in ctx.tick().sample(
                port.valid, port.payload.opcode
            ):
                cycle += 1
                if valid:
                    self.payloads.append((q, opcode))
                    unit = {Opcode.GEMM: 1, Opcode.DRAIN: 2, Opcode.GEMV: 1}.get(opcode, 0)
                    ends.append((cycle + self.durations.get((q, opcode), 3), unit))
                ctx.set(done, sum({1 << unit for end, unit in ends if end == cycle}))

        return testbench

    def run(self, simulate, cycles=None):
        result = {}

        async def watch(ctx):
            cycle = 0
            while True:
                start, retire = ctx.get(self.dut.start), ctx.get(self.dut.retire)
                for q in range(QUEUES):
                    if start >> q & 1:
                        self.starts.append((cycle, q))
                    if retire >> q & 1:
                        self.retires.append((cycle, q))
                code = ctx.get(self.dut.error.code)
                if code != Error.NONE or ctx.get(self.dut.done) or cycle == cycles:
                    result["error"] = (code, ctx.get(self.dut.error.queue))
                    result["done"] = ctx.get(self.dut.done)
                    return
                await ctx.tick()
                cycle += 1

        background = [self.host(q) for q in self.streams] + [self.unit(q) for q in range(QUEUES)]
        simulate(self.dut, watch, background=background, deadline=2000)
        return result

    def times(self, events, q):
        return [cycle for cycle, queue in events if queue == q]


def ends(but=()):
    return {
        q: [instruction(kind, Opcode.END)]
        for q, kind in enumerate(queue_kinds(TINY))
        if q not in but
    }


def work(q, **fields):
    kind = queue_kinds(TINY)[q]
    line = isa.instruction(kind, WORK[kind])
    return instruction(kind, WORK[kind], **dict.fromkeys(line.positive, 1), **fields)


def end(q):
    return instruction(queue_kinds(TINY)[q], Opcode.END)


def test_program_is_done_when_every_queue_has_ended(simulate):
    streams = {q: [work(q), work(q), end(q)] for q in range(QUEUES)}
    bench = Bench(streams)
    result = bench.run(simulate)
    assert result == {"error": (Error.NONE, 0), "done": 1}
    for q in range(QUEUES):
        assert len(bench.times(bench.starts, q)) == len(bench.times(bench.retires, q)) == 3


def test_token_can_be_taken_in_the_cycle_after_retirement(simulate):
    streams = ends(but=(0, 3, 8))
    streams[0] = [work(0, signal=mask(3), signal_channels=0b10), end(0)]
    streams[3] = [work(3, wait=mask(0)), end(3)]
    streams[8] = [work(8, wait=mask(0)), end(8)]
    bench = Bench(streams, {(0, Opcode.LOAD): 40})
    assert bench.run(simulate)["done"] == 1
    sent = bench.times(bench.retires, 0)[0]
    assert bench.times(bench.starts, 3)[0] == sent + 1
    assert bench.times(bench.starts, 8)[0] == sent + 1


def test_instruction_retires_the_cycle_after_its_unit_is_done(simulate):
    streams = ends(but=(6,))
    streams[6] = [work(6), end(6)]
    bench = Bench(streams, {(6, Opcode.ALLREDUCE): 30})
    bench.run(simulate)
    started, retired = bench.times(bench.starts, 6)[0], bench.times(bench.retires, 6)[0]
    # The bench's unit drives done `duration` cycles after the edge that takes the instruction.
    assert retired == started + 1 + 30 + 1


def test_wait_for_channels_is_for_all_of_them(simulate):
    streams = ends(but=(5, 7, 8))
    streams[7] = [work(7, signal=mask(5)), end(7)]
    streams[8] = [work(8, signal=mask(5)), end(8)]
    streams[5] = [work(5, wait_channels=0b11), end(5)]
    bench = Bench(streams, {(7, Opcode.GEMV): 10})
    bench.run(simulate)
    last = max(bench.times(bench.retires, 7)[0], bench.times(bench.retires, 8)[0])
    assert bench.times(bench.starts, 5)[0] == last + 1


def test_tokens_are_counted_and_each_is_taken_once(simulate):
    streams = ends(but=(1, 4))
    streams[1] = [work(1, signal=mask(4)) for _ in range(6)] + [end(1)]
    streams[4] = [work(4, wait=mask(1)) for _ in range(6)] + [end(4)]
    bench = Bench(streams, {(4, Opcode.NORM): 9})
    assert bench.run(simulate)["done"] == 1
    tokens = 0
    events = [(c, 1) for c in bench.times(bench.retires, 1)[:6]]
    events += [(c, 0) for c in bench.times(bench.starts, 4)[:6]]
    for _cycle, retired in sorted(events):  # of one cycle, the start comes first
        tokens += 1 if retired else -1
        assert tokens >= 0


def test_queue_may_wait_for_its_own_retirement(simulate):
    streams = ends(but=(3,))
    streams[3] = [work(3, signal=mask(3)), work(3, wait=mask(3)), end(3)]
    bench = Bench(streams, {(3, Opcode.GEMM): 25})
    bench.run(simulate)
    assert bench.times(bench.starts, 3)[1] == bench.times(bench.retires, 3)[0] + 1


def test_retirement_is_in_order_when_a_later_sub_unit_is_done_first(simulate):
    streams = ends(but=(3,))
    drain = instruction(Queue.MATRIX, Opcode.DRAIN, rows=1, signal=mask(3))
    streams[3] = [work(3), drain, work(3, wait=mask(3)), end(3)]
    bench = Bench(streams, {(3, Opcode.GEMM): 50, (3, Opcode.DRAIN): 2})
    bench.run(simulate)
    starts, retires = bench.times(bench.starts, 3), bench.times(bench.retires, 3)
    assert starts[1] < starts[0] + 5
    assert retires[0] >= starts[0] + 50
    assert retires[1] == retires[0] + 1
    assert starts[2] == retires[1] + 1


def test_done_falls_when_the_next_program_starts_and_tokens_left_are_dropped(simulate):
    dut = Sequencer(TINY)

    async def testbench(ctx):
        async def push(q, word):
            port = getattr(dut, f"queue_{q}")
            ctx.set(port.payload, word)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

        for q in range(QUEUES):
            ctx.set(getattr(dut, f"o_{q}").ready, 1)
        await push(0, work(0, signal=mask(4)))
        await ctx.tick().repeat(4)
        ctx.set(dut.done_0, 1)
        await ctx.tick()
        ctx.set(dut.done_0, 0)
        for q in range(QUEUES):
            await push(q, end(q))
        await ctx.tick().until(dut.done)
        await push(4, work(4, wait=mask(0)))
        assert ctx.get(dut.done) == 0
        await ctx.tick().repeat(20)
        assert ctx.get(dut.start) == 0
        assert ctx.get(dut.error.code) == Error.NONE

    simulate(dut, testbench, deadline=1000)


def test_end_of_the_store_queue_waits_for_the_cells(simulate):
    dut = Sequencer(TINY)

    async def testbench(ctx):
        ctx.set(dut.settled, 0)
        for q in range(QUEUES):
            port = getattr(dut, f"queue_{q}")
            ctx.set(port.payload, end(q))
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)
        for _ in range(20):
            await ctx.tick()
            assert ctx.get(dut.retire) >> Queue.STORE & 1 == ctx.get(dut.done) == 0
        ctx.set(dut.settled, 1)
        assert ctx.get(dut.retire) == mask(Queue.STORE)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.done) == 1
        assert ctx.get(dut.error.code) == Error.NONE

    simulate(dut, testbench, deadline=100)


def test_nothing_is_taken_behind_the_end_of_a_program(simulate):
    dut = Sequencer(TINY)

    async def testbench(ctx):
        ctx.set(dut.queue_2.payload, end(2))
        ctx.set(dut.queue_2.valid, 1)
        await ctx.tick().until(dut.queue_2.ready)
        for _ in range(20):
            assert ctx.get(dut.queue_2.ready) == 0
            await ctx.tick()

    simulate(dut, testbench, deadline=100)


@pytest.mark.parametrize(
    ("q", "word"),
    [
        (3, instruction(Queue.MATRIX, Opcode.SOFTMAX)),
        (3, instruction(Queue.MATRIX, Opcode.GEMM)),  # of no rows
        (3, instruction(Queue.MATRIX, Opcode.WEIGHTS, signal_channels=1 << TINY.memory.channels)),
        (4, instruction(Queue.EPILOGUE, Opcode.NORM, function=len(isa.Norm))),
        (7, instruction(Queue.PIM, Opcode.LOAD)),
        (0, instruction(Queue.LOAD, Opcode.LOAD, wait_channels=1 << TINY.memory.channels)),
        (7, instruction(Queue.PIM, Opcode.GEMV, wait_channels=0b10)),
        (8, instruction(Queue.PIM, Opcode.GEMV, signal_channels=0b01)),
    ],
)
def test_illegal_instruction_stops_the_device(simulate, q, word):
    bench = Bench({q: [word, end(q)]})
    result = bench.run(simulate, cycles=40)
    assert result["error"] == (Error.ILLEGAL, q), (q, hex(word))


def test_queues_that_all_wait_are_a_deadlock(simulate):
    streams = ends(but=(1, 4))
    streams[1] = [work(1, wait=mask(4)), end(1)]
    streams[4] = [work(4), work(4, wait=mask(1)), end(4)]
    bench = Bench(streams)
    assert bench.run(simulate, cycles=200)["error"][0] == Error.DEADLOCK
    assert len(bench.times(bench.starts, 4)) == 1


def test_queue_that_the_host_may_still_feed_is_no_deadlock(simulate):
    streams = ends(but=(1, 4))
    streams[1] = [work(1, wait=mask(4)), end(1)]
    bench = Bench(streams)
    assert bench.run(simulate, cycles=100) == {"error": (Error.NONE, 0), "done": 0}


def test_the_256th_token_overflows(simulate):
    streams = {4: [work(4, signal=mask(5)) for _ in range(256)]}
    bench = Bench(streams, {(4, Opcode.NORM): 1})
    assert bench.run(simulate, cycles=1900)["error"] == (Error.OVERFLOW, 4)
    assert len(bench.times(bench.retires, 4)) == 256


def test_address_error_names_its_queue_and_stops_the_device(simulate):
    dut = Sequencer(TINY)

    async def testbench(ctx):
        ctx.set(dut.bad_address, mask(2, 5))
        await ctx.tick()
        ctx.set(dut.bad_address, 0)
        assert ctx.get(dut.error.code) == Error.ADDRESS
        assert ctx.get(dut.error.queue) == 2
        ctx.set(dut.o_6.ready, 1)
        ctx.set(dut.queue_6.payload, work(6))
        ctx.set(dut.queue_6.valid, 1)
        for _ in range(10):
            await ctx.tick()
            assert ctx.get(dut.start) == 0

    simulate(dut, testbench, deadline=100)
