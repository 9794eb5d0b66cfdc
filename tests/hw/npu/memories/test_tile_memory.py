import numpy as np
import pytest

from hw.npu.memories.tile_memory import TileMemory

SIZES = {"size_bytes": 64, "word_bytes": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size_bytes": 48}, r"^size_bytes must be powers of two, not 48$"),
        ({"reads": [3]}, r"^reads must be powers of two, not 3$"),
        ({"writes": [(4, 0)]}, r"^writes must be powers of two, not 0$"),
        ({"reads": [16]}, r"^word_bytes must be at least the widest port, not 8$"),
    ],
)
def test_sizes_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        TileMemory.check(**(SIZES | {"reads": [4], "writes": [(4, 4)]} | changes))


def test_ports_of_all_widths_see_one_memory(simulate):
    rng = np.random.default_rng(0)
    dut = TileMemory(**SIZES, reads=[1, 4, 8], writes=[(8, 2), (2, 2)])
    memory = bytearray(rng.bytes(64))

    async def bench(ctx):
        ctx.set(dut.write_0.enable, -1)
        for address in range(0, 64, 8):
            ctx.set(dut.write_0.address, address)
            ctx.set(dut.write_0.data, int.from_bytes(memory[address : address + 8], "little"))
            await ctx.tick()
        for _ in range(300):
            wanted = []
            for i, width in enumerate(dut.reads):
                address = int(rng.integers(64))
                ctx.set(getattr(dut, f"read_{i}").address, address)
                first = address // width * width
                wanted.append(int.from_bytes(memory[first : first + width], "little"))
            words = rng.choice(8, 2, replace=False)
            for i, (width, part) in enumerate(dut.writes):
                port = getattr(dut, f"write_{i}")
                address = int(words[i] * 8 + rng.integers(8))
                data = rng.bytes(width)
                enable = int(rng.integers(1 << width // part))
                ctx.set(port.address, address)
                ctx.set(port.data, int.from_bytes(data, "little"))
                ctx.set(port.enable, enable)
                first = address // width * width
                for byte in range(width):
                    if enable >> byte // part & 1:
                        memory[first + byte] = data[byte]
            await ctx.tick()
            got = [ctx.get(getattr(dut, f"read_{i}").data) for i in range(len(dut.reads))]
            assert got == wanted

    simulate(dut, bench)


def test_data_stay_while_a_read_is_not_enabled(simulate):
    dut = TileMemory(size_bytes=4, word_bytes=4, reads=[1], writes=[(4, 4)])

    async def bench(ctx):
        ctx.set(dut.write_0.enable, 1)
        ctx.set(dut.write_0.data, 0x44332211)
        await ctx.tick()
        ctx.set(dut.write_0.enable, 0)
        ctx.set(dut.read_0.address, 2)
        await ctx.tick()
        assert ctx.get(dut.read_0.data) == 0x33
        ctx.set(dut.read_0.enable, 0)
        ctx.set(dut.read_0.address, 1)
        await ctx.tick()
        assert ctx.get(dut.read_0.data) == 0x33

    simulate(dut, bench)
