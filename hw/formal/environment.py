"""What a controller may assume of the PIM operations that it is given."""

from amaranth.hdl import *

from hw.config import Config
from hw.protocol.commands import PimOperation

__all__ = ["VECTOR_BURSTS", "whole_tiles"]

#: Operations that write a burst into the vector buffer.
VECTOR_BURSTS = (PimOperation.GWRITE, PimOperation.GWRITE_ROW)

#: What works on the open rows of a tile.
_WORK = (PimOperation.GEMV, PimOperation.DOTPRODUCT, PimOperation.RDRESULT)


def whole_tiles(m: Module, config: Config, operation, valid: Value, taken: Value) -> Value:
    """Return whether an operation continues tiles as the controller's documentation asks.

    A tile is an ACTIVATION of every bank group, in any order and all with one row, then GEMV
    operations, single products and single results, then PRECHARGE; headers stand between tiles,
    vector bursts, from the data bus or from any row, anywhere. A GEMV has at least one column of at
    least one slot, and stays within the slots and the columns of a row; a product and a result
    have a slot that is there; bursts start at even columns. When operations come is free: they may
    stop anywhere, for ever.

    Parameters
    ----------
    m
        Where the registers go.
    config
        Of the channel.
    operation, valid, taken
        The operation, whether there is one, and whether the next one follows it.
    """
    opened = Signal(config.memory.groups)
    row = Signal.like(operation.row)

    def is_any(*kinds: PimOperation) -> Value:
        return valid & Cat(operation.operation == kind for kind in kinds).any()

    activates = is_any(PimOperation.ACTIVATION)
    with m.If(taken & activates):
        m.d.sync += [opened.eq(opened | 1 << operation.group), row.eq(operation.row)]
    with m.Elif(taken & is_any(PimOperation.PRECHARGE)):
        m.d.sync += opened.eq(0)
    columns = operation.slots * operation.k
    gemv = is_any(PimOperation.GEMV)
    bursts = is_any(*VECTOR_BURSTS)
    conditions = [
        ~activates | (operation.group < config.memory.groups),
        ~activates | ~opened.bit_select(operation.group, 1),
        ~activates | (opened == 0) | (row == operation.row),
        ~is_any(*_WORK, PimOperation.PRECHARGE) | opened.all(),
        ~is_any(PimOperation.HEADER) | (opened == 0),
        ~gemv | ((operation.k <= config.memory.columns) & (columns != 0)),
        ~gemv | (operation.slot + operation.slots <= config.pim.slots),
        ~is_any(*_WORK) | (operation.slot < config.pim.slots),
        ~bursts | ~operation.offset[0],
        ~is_any(PimOperation.GWRITE_ROW) | ~operation.column[0],
    ]
    return Cat(conditions).all()
