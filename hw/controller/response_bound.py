"""How long an accepted request or tile can take at most: the bound that the arbitration gives.

A request is *the oldest* when every request of its kind that was accepted before it has been
served; a tile, when every request that was accepted before it and wants a conflicting row has. What
is accepted becomes the oldest after no more turns than its queue has entries. So it is enough to
bound the time that the oldest takes (:func:`oldest_request_cycles`, :func:`oldest_tile_cycles`),
and that bound is near enough to what really happens to be broken where a mechanism is missing.

The oldest request takes part in four steps, none of which repeats:

1. It ages for ``age`` cycles at most, while others go first. From then on no younger run uses its
   bank, its direction is not left before it is served, and the other direction is left at once,
   unless its oldest request is aged.
2. That request of the other direction has to be served first (3, 4).
3. The tile that runs ends, or one that was accepted before it and conflicts; refreshes that are due
   together follow; if four aged requests have activated rows since the last tile, one more tile
   comes first. Then ACT, after PRE of another row and the window of activations.
4. Its bursts, one of which yields to each vector burst, and before one of which results may come.

Where there are vector bursts, one of them comes after each burst of an aged request: it waits for
the GEMV that reads its half of the vector buffer, and one from a row opens that row first. It waits
itself for the earlier writes to its row and one burst of an aged request.

A tile that is the oldest waits for refreshes that are due together and for the ACTs of four aged
requests, and lasts, longer than alone: each command with results yields to one burst of an aged
request.

With one row buffer and tiles that go first, a request waits for the header that is in progress when
it is accepted: until that header is parted, and the tile that runs then has ended. The next header
comes behind it.
"""

from hw.config import ChannelConfig
from hw.controller.pim.tile_order import WAIVED
from hw.controller.refresh import longest_tile, refreshes_at_once
from hw.controller.requests.burst_run import run_length
from hw.protocol.results import result_cycles

__all__ = ["oldest_request_cycles", "oldest_tile_cycles", "oldest_vector_cycles", "response_bound"]


def _refresh_cycles(config: ChannelConfig, tile: int) -> int:
    """Return the cycles of the refreshes of all ranks that come together, closing of rows included.

    During the tile that they wait for, more may become due.
    """
    t = config.memory.timing
    closes = max(t.nRAS, t.write_delay + t.nCWL + t.nBL + t.nWR)
    together = refreshes_at_once(config) + tile // t.nREFI
    return closes + t.nRP + 4 * config.memory.ranks + together * t.nRFC


def _activation_cycles(config: ChannelConfig) -> int:
    """Return the cycles from PRE of another row, which may wait for its write, to RD or WR."""
    t = config.memory.timing
    closes = max(t.nRAS, t.write_delay + t.nCWL + t.nBL + t.nWR)
    # Row slots, every second cycle, may go to PIM first: an activation for each group.
    slots = 2 * (config.memory.groups + 4)
    return closes + t.nRP + t.nFAW + max(t.nRCD, t.write_delay) + slots


def _direction_cycles(config: ChannelConfig) -> int:
    """Return the cycles in which the data bus turns to bursts of the other direction."""
    t = config.memory.timing
    return max(t.read_to_write, t.nCL + t.nCWL + t.nBL + max(t.nWTRL, t.nTURN))


def _with_yields(config: ChannelConfig, tile: int, results: int | None) -> int:
    """Return the cycles of a tile whose commands with results yield to aged requests."""
    if results is None:
        results = -(-tile // result_cycles(config))
    return tile + results * (_direction_cycles(config) + config.memory.timing.nBL)


def _service_cycles(config: ChannelConfig, tile: int, vector_bursts: bool) -> int:
    """Return the cycles in which an aged run of the current direction is served, refresh aside."""
    t = config.memory.timing
    # WR and RD of a run follow each other on the grid of column slots; a turn of the bus is first.
    burst = 2 * -(-max(t.nBL, t.nCCDL) // 2)
    if (
        vector_bursts
    ):  # one after each burst: it opens its row, and waits for the reader of its half
        burst += _activation_cycles(config) + _direction_cycles(config) + tile
    bursts = run_length(config) * burst + _direction_cycles(config)
    return tile + _activation_cycles(config) + bursts


def oldest_request_cycles(
    config: ChannelConfig, tile: int, *, results: int | None = None, vector_bursts: bool = False
) -> int:
    """Return the most cycles that a request takes, to its RD or WR, once it is the oldest.

    Parameters
    ----------
    tile
        Cycles of the longest tile, tRP included.
    results
        Commands of a tile that read results; as many as fit into it if it is not given.
    vector_bursts
        Whether there are GWRITE operations, too.
    """
    tile = _with_yields(config, tile, results)
    services = 2 * _service_cycles(config, tile, vector_bursts)
    refresh = tile + _refresh_cycles(config, tile)
    again = (config.controller.age + services) // (
        refreshes_at_once(config) * config.memory.timing.nREFI
    )
    cycles = config.controller.age + services + (1 + again) * refresh
    if config.pim.row_buffers == 1:
        cycles += oldest_tile_cycles(config, tile, results=0)  # accepted before it
        if config.controller.blocked_order == "pim_first":
            cycles += config.controller.postpone * config.memory.timing.nREFI
    return cycles


def oldest_tile_cycles(config: ChannelConfig, tile: int, *, results: int | None = None) -> int:
    """Return the most cycles that a tile takes, to its PIM_PRECHARGE, once it is the oldest.

    Parameters
    ----------
    tile, results
        As for :func:`oldest_request_cycles`.
    """
    tile = _with_yields(config, tile, results)
    waived = WAIVED * _service_cycles(config, 0, False)  # no other tile is before it
    return waived + _refresh_cycles(config, tile) + tile


def oldest_vector_cycles(config: ChannelConfig, tile: int, *, results: int | None = None) -> int:
    """Return the most cycles that a GWRITE of a row takes once it is the oldest PIM operation.

    It waits for the tile that reads its half and a refresh, for writes to its row, whose run is
    served at once, and for one burst of an aged request.

    Parameters
    ----------
    tile, results
        As for :func:`oldest_request_cycles`.
    """
    tile = _with_yields(config, tile, results)
    return tile + _refresh_cycles(config, tile) + 2 * _service_cycles(config, tile, False)


def response_bound(
    config: ChannelConfig,
    tile: int | None = None,
    *,
    results: int | None = None,
    vector_bursts: bool = False,
) -> int:
    """Return the most cycles from acceptance to the last command.

    That is RD, WR, PIM_PRECHARGE of a tile, PIM_GWRITE of a row. It holds under any mix of
    requests and tiles, and of vector bursts if it is asked for with these. The operations of an
    accepted tile must be offered as fast as they are taken.

    Parameters
    ----------
    tile
        Cycles of the longest tile, tRP included; the longest that the controller expects if it is
        not given.
    results, vector_bursts
        As for :func:`oldest_request_cycles`.

    >>> from hw.presets import TINY
    >>> response_bound(TINY) < 100 * response_bound(TINY, tile=128)
    True
    """
    if tile is None:
        tile = longest_tile(config)
    entries = max(config.controller.read_queue, config.controller.write_queue)
    request = oldest_request_cycles(config, tile, results=results, vector_bursts=vector_bursts)
    return entries * request + oldest_tile_cycles(config, tile, results=results)
