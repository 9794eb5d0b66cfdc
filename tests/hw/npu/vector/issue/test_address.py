import pytest

from hw.npu.vector.issue.address import AddressGenerator, Advance

WALK = {"start": 0x100, "step": 8, "row": 0x40, "group": 0x400}


@pytest.fixture
def walk(simulate):
    """Go through moves; return the address before each, where a move is (context, advance)."""

    def run(moves, walks):
        dut = AddressGenerator()
        addresses = []

        async def drive(ctx):
            for context, advance in moves:
                ctx.set(dut.walk, walks[context])
                ctx.set(dut.context, context)
                ctx.set(dut.advance, advance or Advance.STEP)
                ctx.set(dut.enable, advance is not None)
                addresses.append(ctx.get(dut.address))
                await ctx.tick()

        simulate(dut, drive)
        return addresses

    return run


def test_address_steps_through_rows_and_groups(walk):
    advances = [
        *(Advance.STEP, Advance.STEP, Advance.ROW, Advance.STEP, Advance.RESTART, Advance.ROW),
        *(Advance.REPEAT, Advance.GROUP, Advance.STEP),
    ]
    assert walk([(1, advance) for advance in advances], {1: WALK}) == [
        *(0x100, 0x108, 0x110, 0x140, 0x148, 0x100, 0x140, 0x140, 0x500),
    ]


def test_address_rests_while_it_is_not_enabled(walk):
    moves = [(1, Advance.STEP), (1, None), (1, None), (1, Advance.STEP), (1, None)]
    assert walk(moves, {1: WALK}) == [0x100, 0x108, 0x108, 0x108, 0x110]


def test_next_instruction_starts_its_own_walk_at_once(walk):
    other = WALK | {"start": 0x2000, "step": 4}
    moves = [(1, Advance.ROW), (1, Advance.STEP), (2, Advance.STEP), (2, Advance.ROW), (2, None)]
    assert walk(moves, {1: WALK, 2: other}) == [0x100, 0x140, 0x2000, 0x2004, 0x2040]


def test_an_idle_look_at_another_walk_changes_nothing(walk):
    other = WALK | {"start": 0x2000}
    moves = [(1, Advance.STEP), (2, None), (1, Advance.STEP), (1, None)]
    assert walk(moves, {1: WALK, 2: other}) == [0x100, 0x2000, 0x108, 0x110]
