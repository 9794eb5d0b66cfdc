"""How long an accepted request or tile can take at most: the bound that the arbitration gives.

Requests and tiles of a controller have one order of acceptance. The oldest of all waits for no
other: neither for a request to its address nor for a tile, both of which would be older. So it is
enough to bound the time that the oldest takes once it is the oldest (:func:`oldest_cycles`); what
is accepted waits for those before it, of which there are never more than the queues hold and one
tile.

The oldest run takes part in four steps, none of which repeats:

1. It ages for ``age`` cycles at most. From then on no younger run uses its bank, its direction is
   not left before it is served, and the other direction is left at once, unless its oldest request
   is aged.
2. That request of the other direction has to be served first (3, 4).
3. A refresh or several together, which wait for the tile that runs; the next tile, if four aged
   requests have activated rows since the last one; then ACT, after PRE of another row and the
   window of activations.
4. Its bursts, between which a refresh or results of a tile may come.

Where there are vector bursts, one of them comes after each burst of an aged request: it waits for
the GEMV that reads its half of the vector buffer, and one from a row opens that row first. It waits
itself for the earlier writes to its row and one burst of an aged request.

With one row buffer and tiles that go first, a request waits for the header that is in progress when
it is accepted, before it can be the oldest: until that header is parted, and the tile that runs
then has ended. The next header comes behind it.

A tile that is the oldest waits for a refresh and for the ACTs of four aged requests, and lasts,
longer than alone: each command with results yields to one burst of an aged request.
"""

from hw.config import ChannelConfig
from hw.controller.pim.tile_order import WAIVED
from hw.controller.refresh import longest_tile, refreshes_at_once
from hw.controller.requests.burst_run import run_length
from hw.protocol.results import result_cycles

__all__ = ["oldest_cycles", "response_bound"]


def _refresh_cycles(config: ChannelConfig) -> int:
    """Return the cycles of the refreshes of all ranks that come together, closing of rows included.

    During the tile that they wait for, more may become due.
    """
    t = config.memory.timing
    closes = max(t.nRAS, t.write_delay + t.nCWL + t.nBL + t.nWR)
    together = refreshes_at_once(config) + -(-longest_tile(config) // t.nREFI)
    return closes + t.nRP + 4 * config.memory.ranks + together * t.nRFC


def _activation_cycles(config: ChannelConfig) -> int:
    """Return the cycles from PRE of another row, which may wait for its write, to RD or WR."""
    t = config.memory.timing
    closes = max(t.nRAS, t.write_delay + t.nCWL + t.nBL + t.nWR)
    # Row slots, every second cycle, may go to PIM first: an activation for each group.
    slots = 2 * (config.memory.groups + 4)
    return closes + t.nRP + t.nFAW + max(t.nRCD, t.write_delay) + slots


def _turn_cycles(config: ChannelConfig) -> int:
    """Return the cycles in which the data bus turns to bursts of the other direction."""
    t = config.memory.timing
    return t.nCL + t.nCWL + t.nBL + max(t.nWTRL, t.nTURN)


def _with_yields(config: ChannelConfig, tile: int) -> int:
    """Return the cycles of a tile whose commands with results yield to aged requests.

    A kind has one aged run in every ``age`` cycles. Its burst waits for a turn of the bus.
    """
    bursts = 2 * (2 + tile // config.controller.age) * run_length(config)
    commands = -(-tile // result_cycles(config))
    return tile + min(bursts, commands) * (_turn_cycles(config) + config.memory.timing.nBL)


def _vector_cycles(config: ChannelConfig, tile: int) -> int:
    """Return the cycles that a vector burst takes which yields no more."""
    return tile + _refresh_cycles(config) + _activation_cycles(config) + _turn_cycles(config)


def _service_cycles(config: ChannelConfig, tile: int, vector_bursts: bool) -> int:
    """Return the cycles in which an aged run of the current direction is served."""
    t = config.memory.timing
    vectors = run_length(config) * _vector_cycles(config, tile) if vector_bursts else 0
    # WR and RD of a run follow each other on the grid of column slots; a turn of the bus is first.
    turn = _turn_cycles(config)
    bursts = run_length(config) * 2 * -(-max(t.nBL, t.nCCDL) // 2) + turn
    pauses = 3 * (tile + _refresh_cycles(config))
    return pauses + 2 * _activation_cycles(config) + bursts + vectors


def oldest_cycles(config: ChannelConfig, tile: int, *, vector_bursts: bool = False) -> int:
    """Return the most cycles that the oldest request or tile takes, once it is the oldest.

    Parameters
    ----------
    tile
        Cycles of the longest tile, tRP included.
    vector_bursts
        Whether there are GWRITE operations, too.
    """
    tile = _with_yields(config, tile)
    run = config.controller.age + 2 * _service_cycles(config, tile, vector_bursts)
    waived = WAIVED * _service_cycles(config, 0, False)  # no other tile is before it
    return max(run, waived + _refresh_cycles(config) + tile)


def response_bound(
    config: ChannelConfig, tile: int | None = None, *, vector_bursts: bool = False
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
    vector_bursts
        Whether there are GWRITE operations, too.

    >>> from hw.presets import TINY
    >>> response_bound(TINY) < 100 * response_bound(TINY, tile=128)
    True
    """
    entries = config.controller.read_queue + config.controller.write_queue + 1
    if tile is None:
        tile = longest_tile(config)
    bound = entries * oldest_cycles(config, tile, vector_bursts=vector_bursts)
    if config.pim.row_buffers == 1 and config.controller.blocked_order == "pim_first":
        bound += config.controller.postpone * config.memory.timing.nREFI
        bound += _with_yields(config, tile) + _refresh_cycles(config)
    return bound
