from hw.arith.bf16 import BF16, to_bits
from hw.npu.matrix.processing_element import ProcessingElement


def bits(x):
    return int(to_bits([x])[0])


def test_swap_takes_the_shadow_weight_that_was_loaded_before(simulate):
    dut = ProcessingElement()
    # (activation, swap, load, weight), and the product that follows.
    cycles = [
        ((0.0, 0, 1, 2.0), None),
        ((3.0, 1, 1, 5.0), 6.0),
        ((4.0, 0, 0, 7.0), 8.0),
        ((1.0, 1, 0, 7.0), 5.0),
        ((-2.0, 0, 1, 9.0), -10.0),
        ((1.0, 0, 0, 0.0), 5.0),
        ((1.0, 1, 0, 0.0), 9.0),
    ]

    async def drive(ctx):
        for (activation, swap, load, weight), _product in cycles:
            ctx.set(dut.activation, BF16.from_bits(bits(activation)))
            ctx.set(dut.swap, swap)
            ctx.set(dut.load, load)
            ctx.set(dut.weight, BF16.from_bits(bits(weight)))
            await ctx.tick()

    async def check(ctx):
        await ctx.tick().repeat(ProcessingElement.latency)
        for cycle, product in cycles:
            got = ctx.get(dut.o.as_value())
            if product is not None:
                assert got == bits(product) << 16, f"{cycle}: {got:#x}"
            await ctx.tick()

    simulate(dut, drive, check)
