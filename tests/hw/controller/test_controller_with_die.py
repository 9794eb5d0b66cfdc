import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.arith.bf16 import from_bits, to_bits
from hw.controller.controller import Controller
from hw.die.mac_unit import gemv_golden
from hw.die.pim_channel import PimChannel
from hw.presets import TINY
from hw.protocol.commands import PimOperation, Request

SMALL = TINY.replace(rows=8, row_bytes=64, vector_buffer_rows=2, slots=4)


class Channel(wiring.Component):
    """A controller and its die."""

    def __init__(self, config):
        self.controller, self.die = Controller(config, 8), PimChannel(config)
        ports = self.controller.signature.members
        super().__init__({name: ports[name] for name in ("i_requests", "i_pim")} | {"o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = controller = self.controller
        m.submodules.die = die = self.die
        wiring.connect(m, wiring.flipped(self.i_requests), controller.i_requests)
        wiring.connect(m, wiring.flipped(self.i_pim), controller.i_pim)
        m.d.comb += [
            die.command.eq(controller.command),
            die.i_data.eq(controller.o_data),
            controller.i_data.eq(die.o_data),
            controller.i_valid.eq(die.o_valid),
        ]
        return m


def bursts(config, numbers):
    data = to_bits(numbers.astype(np.float32)).astype("<u2").tobytes()
    step = config.memory.burst_bytes
    return [int.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]


@pytest.mark.parametrize("row_buffers", [1, 2])
def test_tile_multiplies_the_row_that_was_written_before_it(simulate, row_buffers):
    config = SMALL.replace(row_buffers=row_buffers)
    rng = np.random.default_rng(3)
    elements = config.memory.row_bytes // 2
    matrix = from_bits(to_bits(rng.normal(size=(config.memory.banks, elements)).astype(np.float32)))
    vector = from_bits(to_bits(rng.normal(size=elements).astype(np.float32)))
    dut = Channel(config)
    results, answers = [], {}
    slots = 2
    k = config.memory.columns // slots

    async def send(ctx, port, item):
        ctx.set(port.payload, item)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def ordinary(ctx):
        for bank in range(config.memory.banks):
            for i, data in enumerate(bursts(config, matrix[bank])):
                request = {"bank": bank, "row": 5, "column": 2 * i, "tag": 0, "data": data}
                await send(ctx, dut.i_requests, {"kind": Request.WRITE, **request})
        for i in range(config.memory.bursts):
            request = {"bank": 1, "row": 5, "column": 2 * i, "tag": i, "data": 0}
            await send(ctx, dut.i_requests, {"kind": Request.READ, **request})

    async def pim(ctx):
        for i, data in enumerate(bursts(config, vector)):
            operation = PimOperation.GWRITE
            await send(
                ctx, dut.i_pim, {"operation": operation, "half": 0, "offset": 2 * i, "data": data}
            )
        # A tile is ordered behind the writes that were accepted before it.
        await ctx.tick().repeat(100)
        operation = PimOperation.ACTIVATION
        await send(ctx, dut.i_pim, {"operation": operation, "group": 0, "row": 5})
        gemv = {"slots": slots, "k": k, "column_step": k, "offset_step": k, "read": 1}
        await send(ctx, dut.i_pim, {"operation": PimOperation.GEMV, **gemv})
        await send(ctx, dut.i_pim, {"operation": PimOperation.PRECHARGE})

    async def collect(ctx):
        controller = dut.controller
        while len(answers) < config.memory.bursts or len(results) < slots * config.result_bursts:
            await ctx.tick()
            if ctx.get(controller.o_reads.valid):
                answer = ctx.get(controller.o_reads.payload)
                answers[answer.tag] = answer.data
            if ctx.get(controller.o_results.valid):
                results.append(ctx.get(controller.o_results.payload.data))

    simulate(dut, ordinary, pim, collect, deadline=2000)
    assert [answers[i] for i in range(config.memory.bursts)] == bursts(config, matrix[1])
    data = b"".join(result.to_bytes(config.memory.burst_bytes, "little") for result in results)
    shape = (config.memory.columns, config.mac_lanes)
    columns = matrix.reshape(config.memory.banks, *shape)
    for slot, got in enumerate(np.frombuffer(data, np.float32).reshape(slots, config.memory.banks)):
        part = slice(slot * k, (slot + 1) * k)
        expected = gemv_golden(
            columns[:, part], vector.reshape(shape)[part], config.pim.partial_sums
        )
        assert got.tobytes() == expected.astype(np.float32).tobytes(), f"slot {slot}"
