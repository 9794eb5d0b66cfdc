from hw.memory_channel import MemoryChannel
from hw.presets import TINY
from hw.protocol.commands import Request

SMALL = TINY.replace(rows=16)


def test_read_through_controller_and_die_returns_what_was_written(simulate):
    channel = MemoryChannel(SMALL, 4)
    request = {"bank": 2, "row": 9, "column": 4, "data": (0x1234 << 112) | 7}
    answers = []

    async def ask(ctx):
        for tag, kind in ((5, Request.WRITE), (6, Request.READ)):
            ctx.set(channel.i_requests.payload, {**request, "kind": kind, "tag": tag})
            ctx.set(channel.i_requests.valid, 1)
            await ctx.tick().until(channel.i_requests.ready)
        ctx.set(channel.i_requests.valid, 0)
        (answer,) = await ctx.tick().sample(channel.o_reads.payload).until(channel.o_reads.valid)
        answers.append((answer.tag, answer.data))

    simulate(channel, ask, deadline=300)
    assert answers == [(6, request["data"])]
