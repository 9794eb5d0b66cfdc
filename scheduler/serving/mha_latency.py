"""How long a channel's PIM works on one request's attention: Algorithm 1 of NeuPIMs."""

from dataclasses import dataclass

from hw.config import Config

__all__ = ["NEUPIMS", "PimCosts", "mha_latency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PimCosts:
    """What Algorithm 1 knows of the hardware.

    Attributes
    ----------
    gwrite_cycles
        A row of the vector into the global vector buffer.
    tile_cycles
        A GEMV tile: one row of every bank, opened, multiplied, read out.
    row_elements
        Elements of a row, P in the paper.
    banks
        Banks of a channel, B in the paper.
    """

    gwrite_cycles: int
    tile_cycles: int
    row_elements: int
    banks: int

    @classmethod
    def of(cls, config: Config) -> "PimCosts":
        """Derive the costs of a device from its timing.

        >>> from hw.presets import PAPER
        >>> PimCosts.of(PAPER)
        PimCosts(gwrite_cycles=96, tile_cycles=187, row_elements=512, banks=32)
        """
        t = config.memory.timing
        opened = (config.memory.bank_groups - 1) * t.nFAW + config.memory.ranks - 1
        worked = t.product_delay + (config.memory.columns - 1) * t.nCCDL + t.nRTPL
        return cls(
            gwrite_cycles=config.memory.columns * (t.nCCDS + t.nCCDL),
            tile_cycles=opened + max(t.nRAS, worked) + t.nRP,
            row_elements=config.memory.row_bytes // 2,
            banks=config.memory.banks,
        )


#: What the scheduler of the paper's artefact assumes of its device.
NEUPIMS = PimCosts(gwrite_cycles=100, tile_cycles=184, row_elements=512, banks=32)


def _up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def mha_latency(context: int, *, d_model: int, heads: int, costs: PimCosts = NEUPIMS) -> int:
    """Estimate the cycles of one request's attention in one layer.

    Logits: the query goes into the vector buffer row by row, each row of it meets every page of
    keys. Attend: every head's weights go in, a row of tokens at a time, and meet the head's
    dimension bank by bank. Quotients are rounded up, as the paper's artefact does.

    GPT3-7B on four devices, an answer just begun and one at 1024 tokens:

    >>> mha_latency(1, d_model=4096 // 4, heads=32 // 4)
    7256
    >>> mha_latency(1024, d_model=4096 // 4, heads=32 // 4)
    25352

    Parameters
    ----------
    context
        Tokens in the KV cache.
    d_model, heads
        Of one device: tensor parallelism divides both.
    costs
        The hardware.

    Raises
    ------
    ValueError
        If the context is negative.
    """
    if context < 0:
        raise ValueError(f"context must not be negative, not {context!r}")
    vector_rows = _up(d_model, costs.row_elements)
    logit = costs.gwrite_cycles * vector_rows
    logit += costs.tile_cycles * _up(context, costs.banks) * vector_rows
    weight_rows = _up(context, costs.row_elements) * heads
    attend = costs.gwrite_cycles * weight_rows
    attend += costs.tile_cycles * _up(d_model // heads, costs.banks) * weight_rows
    return logit + attend
