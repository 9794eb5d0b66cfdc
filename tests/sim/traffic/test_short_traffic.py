"""Any short traffic that Hypothesis thinks of, on compiled channels; failures shrink."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.protocol.commands import PimOperation, Request
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.compiled_channel import CompiledChannel, request_dtype
from sim.traffic.geometries import GEOMETRIES
from sim.traffic.random_streams import operation_stream, random_numbers
from sim.traffic.run import check_round

ROWS = [3, 4, 700]  # the first two are of one subarray
GAPS = st.sampled_from([0, 0, 0, 0, 1, 7, 90, 1000])


@cache
def channel_of(name):
    return CompiledChannel(GEOMETRIES[name])


def requests_of(config):
    """Return lists of ordinary requests: kind, bank, row, burst, cycles before."""
    one = st.tuples(
        st.sampled_from(Request),
        st.integers(0, config.memory.banks - 1),
        st.sampled_from(ROWS),
        st.integers(0, config.memory.bursts - 1),
        GAPS,
    )
    return st.lists(one, max_size=40)


@st.composite
def vectors(draw, config, rows=True):
    """Return a GWRITE, from the bus or, where rows are, from one."""
    whole = config.pim.gwrite == "row"
    from_row = rows and draw(st.booleans())
    size = config.memory.columns if from_row and whole else 2
    fields = {
        "operation": PimOperation.GWRITE_ROW if from_row else PimOperation.GWRITE,
        "half": draw(st.integers(0, 1)),
        "offset": 2 * draw(st.integers(0, (config.vector_columns - size) // 2)),
        "data": random_numbers(
            np.random.default_rng(draw(st.integers(0, 3))), config.memory.burst_bytes
        ),
        "gap": draw(GAPS),
    }
    if from_row:
        burst = 0 if whole else draw(st.integers(0, config.memory.bursts - 1))
        fields |= {"bank": draw(st.integers(0, config.memory.banks - 1)), "row": draw(rows_)}
        fields["column"] = 2 * burst
    return fields


rows_ = st.sampled_from(ROWS)


@st.composite
def products(draw, config):
    """Return a GEMV within row, slots and vector buffer, or a single product or result."""
    operation = draw(
        st.sampled_from([PimOperation.GEMV] * 3 + [PimOperation.DOTPRODUCT, PimOperation.RDRESULT])
    )
    is_gemv = operation is PimOperation.GEMV
    slots = draw(st.integers(1, config.pim.slots)) if is_gemv else 1
    k = draw(st.integers(1, config.memory.columns)) if is_gemv else 1
    fields = {
        "operation": operation,
        "slot": draw(st.integers(0, config.pim.slots - slots)),
        "half": draw(st.integers(0, 1)),
        "gap": draw(GAPS),
    }
    if is_gemv:
        fields |= {"slots": slots, "k": k, "read": draw(st.integers(0, 1))}
    for start, step, size in (
        ("column", "column_step", config.memory.columns),
        ("offset", "offset_step", config.vector_columns),
    ):
        each = draw(st.integers(0, (size - k) // (slots - 1))) if slots > 1 else 0
        fields[step] = each
        fields[start] = draw(st.integers(0, size - k - each * (slots - 1)))
    return fields


@st.composite
def tiles(draw, config):
    """Return a tile: a header or none, the groups in any order, products and vectors between."""
    work = draw(st.lists(products(config) | vectors(config, rows=False), max_size=5))
    operations = []
    if draw(st.booleans()):
        length = tile_cycles_on_grid(config, draw(st.integers(1, 64)))
        tiles_ahead = draw(st.integers(1, 3))
        operations.append(
            {"operation": PimOperation.HEADER, "tiles": tiles_ahead, "length": length}
        )
    row = draw(rows_)
    for group in draw(st.permutations(range(config.memory.groups))):
        operations.append(
            {
                "operation": PimOperation.ACTIVATION,
                "group": group,
                "row": row,
                "gap": draw(GAPS),
            }
        )
    return [*operations, *work, {"operation": PimOperation.PRECHARGE, "gap": draw(GAPS)}]


@pytest.mark.parametrize("name", ["tiny", "blocked", "two-ranks"])
def test_any_short_traffic_breaks_no_rule_and_answers_right(name):
    config = GEOMETRIES[name]
    shape = (len(ROWS), config.memory.banks, config.memory.row_bytes)
    content = random_numbers(np.random.default_rng(0), int(np.prod(shape))).reshape(shape)

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(
        requests_of(config),
        st.lists(tiles(config) | vectors(config).map(lambda vector: [vector]), max_size=5),
    )
    def check(places, parts):
        requests = np.zeros(len(places), request_dtype(config))
        for number, (kind, bank, row, burst, gap) in enumerate(places):
            request = requests[number]
            request["kind"], request["bank"], request["row"] = kind.value, bank, row
            request["column"], request["gap"] = 2 * burst, gap
            request["data"] = random_numbers(
                np.random.default_rng(number), config.memory.burst_bytes
            )
        pim = operation_stream(config, [operation for part in parts for operation in part])
        check_round(channel_of(name), requests, pim, ROWS, content)

    check()
