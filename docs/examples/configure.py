"""Build a configuration: start from a preset, change what differs, and see what follows from it."""

from hw.config import Config
from hw.presets import PAPER
from hw.protocol.constraints import constraints
from hw.protocol.tile_length import tile_cycles


def main() -> None:
    """Compare the paper's channel with one of half the banks and one row buffer."""
    newton = PAPER.replace(name="newton", bank_groups=2, row_buffers=1)
    for config in (PAPER, newton):
        describe(config)
    try:
        PAPER.replace(rows=1000)
    except ValueError as error:
        print(f"refused: {error}")


def describe(config: Config) -> None:
    """Print sizes that follow from others, and what a PIM tile of 32 columns takes."""
    memory = config.memory
    print(
        f"{config.name}: {memory.banks} banks a channel, {memory.channel_bytes >> 20} MiB, "
        f"{config.mac_lanes} multipliers a bank, {len(constraints(config))} timing constraints, "
        f"a tile of 32 columns in {tile_cycles(config, 32)} cycles"
    )


if __name__ == "__main__":
    main()
