"""A channel whose ranks are no power of two: whole, as RTL, under random traffic."""

from hw.presets import TINY
from hw.protocol.commands import Command
from sim.channel.compiled_channel import CompiledChannel
from sim.traffic.run import Totals, run_round

THREE = TINY.replace(name="three ranks", ranks=3, rows=64, row_bytes=64, vector_buffer_rows=2)


def test_three_ranks_keep_every_rule_and_answer_everything():
    channel, totals = CompiledChannel(THREE), Totals()
    for seed in range(4):
        totals += run_round(channel, (seed,), requests=1500)
    assert all(totals.count(c) for c in Command if c is not Command.NOP)
