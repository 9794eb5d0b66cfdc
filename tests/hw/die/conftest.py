"""A PIM channel under a script of commands."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from hw.die.pim_channel import PimChannel
from hw.protocol.commands import Command

WITH_DATA = (Command.WR, Command.WRA, Command.PIM_GWRITE_DATA)


@dataclass
class Run:
    """What the data bus carried in each cycle, and the rows that the cells held at the end."""

    columns: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)

    def burst(self, cycle):
        return b"".join(self.columns.get(cycle + beat, b"") for beat in range(2))

    def results(self, start, end):
        """Return the binary32 numbers driven from ``start`` to ``end``, without turn-arounds."""
        columns = (self.columns[c] for c in range(start, end) if c in self.columns)
        return np.frombuffer(b"".join(columns), np.float32)


@pytest.fixture
def run_channel(simulate):
    """Issue a script, ``{cycle: (command, fields, data)}``, on cells ``{(bank, row): bytes}``."""

    def run(config, script, cycles, cells=None, look=()):
        channel = PimChannel(config)
        word_bytes = channel.banks[0].cells.data.shape.width // 8
        words = config.memory.row_bytes // word_bytes
        for (bank, row), content in (cells or {}).items():
            for n, start in enumerate(range(0, len(content), word_bytes)):
                word = int.from_bytes(content[start : start + word_bytes], "little")
                channel.banks[bank].cells.data.init[row * words + n] = word
        arriving = {}
        for cycle, (command, _fields, burst) in script.items():
            if command in WITH_DATA:
                for beat in range(2):
                    column = burst[beat * config.memory.column_bytes :][
                        : config.memory.column_bytes
                    ]
                    arriving[cycle + config.memory.timing.nCWL + beat] = int.from_bytes(
                        column, "little"
                    )
        out = Run()

        async def bench(ctx):
            for cycle in range(cycles):
                command, fields, _data = script.get(cycle, (Command.NOP, {}, None))
                ctx.set(channel.command, {"command": command, **fields})
                ctx.set(channel.i_data, arriving.get(cycle, 0))
                if ctx.get(channel.o_valid):
                    column = ctx.get(channel.o_data)
                    out.columns[cycle] = column.to_bytes(config.memory.column_bytes, "little")
                await ctx.tick()
            for bank, row in look:
                data = channel.banks[bank].cells.data
                content = (ctx.get(data[row * words + n]) for n in range(words))
                out.rows[bank, row] = b"".join(c.to_bytes(word_bytes, "little") for c in content)

        simulate(channel, bench)
        return out

    return run
