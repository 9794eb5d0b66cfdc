"""Tables: variants of a run side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from hw.config import Config

__all__ = ["Utilization", "Variant", "measure", "variant_rows", "variants_table"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One way to run the same requests.

    Attributes
    ----------
    name
        What the table calls it.
    config
        The device.
    cycles
        Cycles of all its iterations.
    tokens
        Tokens that the device has taken in them.
    counters
        The device's counters, summed over the iterations.
    """

    name: str
    config: Config
    cycles: int
    tokens: int
    counters: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Utilization:
    """Shares of what each unit could do in the time, from 0 to 1.

    Attributes
    ----------
    systolic_array
        Useful multiplications, of all that the arrays could do.
    vector_unit
        Cycles in which the vector units work.
    pim
        Bank columns multiplied, of one every nCCDL cycles in every bank.
    command_bus, data_bus
        Cycles with a command, and with data, over all channels.
    """

    systolic_array: float
    vector_unit: float
    pim: float
    command_bus: float
    data_bus: float


_COLUMNS = {
    "systolic_array": "array",
    "vector_unit": "vector",
    "pim": "PIM",
    "command_bus": "C/A bus",
    "data_bus": "data bus",
}


def measure(config: Config, cycles: int, counters: Mapping[str, int]) -> Utilization:
    """Turn counters into utilizations.

    Parameters
    ----------
    config
        The device.
    cycles
        Cycles that the counters span.
    counters
        ``matrix_macs`` (useful multiplications), ``vector_busy`` (cycles), ``pim_columns`` (of
        every bank), ``ca_busy`` and ``bus_busy`` (cycles, summed over channels).

    Raises
    ------
    ValueError
        If there are no cycles.
    """
    if cycles < 1:
        raise ValueError(f"cycles must be at least 1, not {cycles!r}")
    peak_columns = config.memory.channels * config.memory.banks / config.memory.timing.nCCDL
    return Utilization(
        systolic_array=counters["matrix_macs"]
        / (config.npu.array_rows * config.npu.tile_columns)
        / cycles,
        vector_unit=counters["vector_busy"] / cycles,
        pim=counters["pim_columns"] / peak_columns / cycles,
        command_bus=counters["ca_busy"] / config.memory.channels / cycles,
        data_bus=counters["bus_busy"] / config.memory.channels / cycles,
    )


def variant_rows(variants: Sequence[Variant]) -> list[dict[str, str | float]]:
    """Return the table as numbers, a dictionary a variant; speed-ups are over the first one."""
    rows: list[dict[str, str | float]] = []
    for variant in variants:
        cycles_per_token = variant.cycles / variant.tokens
        first = rows[0]["cycles_per_token"] if rows else cycles_per_token
        rows.append(
            {
                "name": variant.name,
                "cycles": variant.cycles,
                "tokens": variant.tokens,
                "cycles_per_token": cycles_per_token,
                **asdict(measure(variant.config, variant.cycles, variant.counters)),
                "speed_up": float(first) / cycles_per_token,
            }
        )
    return rows


def variants_table(variants: Sequence[Variant], title: str = "") -> Table:
    """Return the table for a terminal."""
    table = Table(title=title or None)
    table.add_column("variant", no_wrap=True)
    for heading in ("cycles", "cycles a token", *_COLUMNS.values(), "speed-up"):
        table.add_column(heading, justify="right")
    for row in variant_rows(variants):
        table.add_row(
            str(row["name"]),
            f"{row['cycles']:,}",
            f"{row['cycles_per_token']:,.1f}",
            *(f"{float(row[name]):.1%}" for name in _COLUMNS),
            f"{float(row['speed_up']):.2f} ×",
        )
    return table
