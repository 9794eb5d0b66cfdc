"""Drive a memory channel and read its trace: reads beside a PIM tile, checked by the monitor."""

import numpy as np

from hw.presets import TINY
from hw.protocol.commands import Command
from sim.channel.compiled_channel import CompiledChannel
from sim.channel.workload import TileShape, sequential_requests, tiles
from sim.monitor.monitor import Monitor
from sim.trace.command_trace import ACCEPT


def main() -> None:
    """Compile the channel of ``tiny``, run 64 reads and two tiles, and print its first commands."""
    channel = CompiledChannel(TINY, announce=print)
    shape = TileShape.logit(TINY, d_head=16)
    log = channel.run(sequential_requests(TINY, 64), tiles(TINY, 2, shape))
    commands = log.trace[log.trace["command"] != ACCEPT]
    for record in commands[:12]:
        name = Command(record["command"]).name
        print(f"{record['cycle']:6} {name:16} bank {record['bank']} row {record['row']}")
    names, counts = np.unique(commands["command"], return_counts=True)
    print({Command(name).name: int(count) for name, count in zip(names, counts, strict=True)})
    end = log.first_cycle + log.cycles
    violations = Monitor(TINY).check(log.trace, end=end)
    print(
        f"{log.cycles} cycles, slowest read {int((log.answered - log.entered).max())}, "
        f"{len(violations)} violations"
    )


if __name__ == "__main__":
    main()
