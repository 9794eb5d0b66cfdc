"""Tests of the whole device: small programs, compared with the reference bit for bit."""

import numpy as np
import pytest

from hw.npu.instruction_cycles import instruction_cycles
from hw.npu.vector.cycles import issue_cycles
from hw.presets import TINY
from hw.program.instruction_set import (
    INSTRUCTIONS,
    Element,
    Format,
    Function,
    Norm,
    Opcode,
    Queue,
    Reduce,
    Tail,
    lane_tile_address,
)
from hw.program.program import Block, Program, queue_kind, stream_of
from hw.program.tokens import token_masks
from hw.protocol.commands import Command
from sim.device import DeviceError
from sim.devices.amaranth_device import SimulatedDevice
from sim.devices.compiled_device import RtlDevice
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.reference import Reference
from sim.trace.command_trace import ACCEPT

QUEUES = Queue.PIM + TINY.memory.channels


class Builder:
    """Streams of a program, instruction by instruction in total order."""

    def __init__(self):
        self.streams = [[] for _ in range(QUEUES)]
        self.count = 0

    def __call__(self, queue, opcode, wait=(), signal=(), **operands):
        fields = {"opcode": opcode, "order": self.count, **operands}
        for name, queues in (("wait", wait), ("signal", signal)):
            fields |= token_masks(name, queues)
        self.streams[queue].append(fields)
        self.count += 1

    def program(self, row_lists, outputs):
        for queue in range(QUEUES):
            self(queue, Opcode.END)
        streams = [stream_of(queue_kind(q), fields) for q, fields in enumerate(self.streams)]
        return Program(streams, [np.array(rows, np.uint32) for rows in row_lists], outputs=outputs)


@pytest.fixture(params=[RtlDevice, SimulatedDevice], ids=["compiled", "simulated"])
def device(request, powered):
    return powered(request.param)


def memory(seed):
    """Fill a channel with bfloat16 numbers of moderate size."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(TINY.memory.channel_bytes // 2).astype(np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def check(device, program, contents):
    """Run a program on the device and on the reference; return the device's result."""
    reference = Reference(device.config)
    for channel, content in enumerate(contents):
        device.write(channel, 0, content.tobytes())
        reference.write(channel, 0, content.tobytes())
    expected = reference.run(program)
    result = device.run(program)
    for queue, (starts, retires) in enumerate(zip(result.starts, result.retires, strict=True)):
        assert (np.diff(starts.astype(int)) > 0).all(), queue
        assert (np.diff(retires.astype(int)) > 0).all(), queue
        assert (starts < retires).all(), queue
    for name in program.outputs:
        got = np.frombuffer(result.outputs[name], np.uint16)
        want = np.frombuffer(expected[name], np.uint16)
        np.testing.assert_array_equal(got, want, err_msg=name)
    return result


def assert_legal(*results):
    """Check the commands of programs that ran one after the other since reset."""
    trace = np.concatenate([result.trace for result in results])
    end = sum(result.cycles for result in results)
    violations = Monitor(TINY, Premises(to_end=False)).check(trace, end)
    assert not violations, "\n".join(map(str, violations[:10]))


def dense(build, out, depth=0, columns=0):
    """Load weights and activations, multiply, apply GELU, store; the last tile may be ragged."""
    tile = TINY.npu.weight_tile_bytes
    result = lane_tile_address(1, 0x200)
    build(Queue.LOAD, Opcode.LOAD, signal=[Queue.MATRIX], address=0x1000, bursts=2, rows=1)
    build(
        *(Queue.TAIL, Opcode.LOAD, (), [Queue.EPILOGUE]),
        address=0x4000,
        bursts=4,
        rows=1,
        lanes=0b01,
        lane_address=0x40,
    )
    copy = {"function": Element.COPY, "rows": 4, "n": 8, "a_stride": 16, "o_stride": 16}
    build(
        *(Queue.EPILOGUE, Opcode.ELEMENTWISE, [Queue.TAIL], [Queue.MATRIX]),
        **{"a": lane_tile_address(0, 0x40), "o": 0x80, **copy},
    )
    build(Queue.MATRIX, Opcode.WEIGHTS, wait=[Queue.LOAD], ring=0)
    gemm = {"rows": 4, "stride": 16, "half": 1}
    build(Queue.MATRIX, Opcode.GEMM, wait=[Queue.EPILOGUE], address=0x80, **gemm)
    build(Queue.MATRIX, Opcode.WEIGHTS, ring=tile, depth=depth)
    build(Queue.MATRIX, Opcode.GEMM, address=0x88, accumulate=1, **gemm)
    build(
        *(Queue.MATRIX, Opcode.DRAIN, (), [Queue.EPILOGUE]),
        rows=4,
        stride=16,
        half=1,
        address=0x400,
        format=Format.BINARY32,
        columns=columns,
    )
    build(
        *(Queue.EPILOGUE, Opcode.FUNCTION, [Queue.MATRIX], [Queue.STORE]),
        function=Function.GELU_TANH,
        rows=4,
        n=4,
        a=0x400,
        a_stride=16,
        a_format=Format.BINARY32,
        o=result,
        o_stride=8,
    )
    build(
        *(Queue.STORE, Opcode.STORE, [Queue.EPILOGUE]),
        address=out,
        bursts=2,
        rows=1,
        lanes=0b10,
        lane_address=0x200,
    )
    return {"dense": Block(1, out, 32)}


def attention(build, channel, out):
    """Load a vector, multiply two tiles of rows by it, take softmax of the results, store."""
    pim = Queue.PIM + channel
    build(
        *(Queue.TAIL, Opcode.LOAD, (), [pim]),
        address=0x5000,
        bursts=4,
        rows=1,
        lanes=1 << channel,
        lane_address=0,
    )
    build(pim, Opcode.VECTOR, wait=[Queue.TAIL], bursts=2, rows=2, lane_stride=32, offset_row=4)
    build(
        *(pim, Opcode.GEMV, (), [Queue.ATTENTION]),
        lane_address=0x100,
        list=channel,
        tiles=3,
        length=200,
        gemvs=2,
        k=4,
        column_gemv=8,
        column_step=4,
        offset_gemv=4,
        slot_gemv=2,
        slots=2,
        read=1,
        lane_tile=0x40,
        lane_gemv=0x20,
        lane_slot=0x10,
    )
    build(
        *(Queue.ATTENTION, Opcode.SOFTMAX, [pim], [Queue.STORE]),
        rows=4,
        n=11,
        a=lane_tile_address(channel, 0x100),
        a_stride=48,
        o=lane_tile_address(channel, 0x400),
        o_stride=32,
        x=0x3E800000,
    )
    build(
        *(Queue.STORE, Opcode.STORE, [Queue.ATTENTION]),
        address=out,
        bursts=2,
        rows=4,
        stride=0x80,
        lanes=1 << channel,
        lane_address=0x400,
        lane_stride=32,
    )
    return {f"attention {channel}": Block(channel, out, 0x200)}


def vector_instructions(build, out):
    """Run every operation and variant of the vector unit on what is loaded, and store it all."""
    rows, n, half = 3, 16, 0x200
    width = {Format.BF16: 2 * n, Format.BINARY32: 4 * n}
    for channel in range(2):
        build(
            *(Queue.TAIL, Opcode.LOAD, (), [Queue.EPILOGUE] if channel else ()),
            address=0x4000,
            bursts=8,
            rows=4,
            stride=0x80,
            lanes=1 << channel,
            lane_address=0,
            lane_stride=0x80,
        )
    a, b = lane_tile_address(0, 0), lane_tile_address(1, 0)
    one = int(np.float32(1 / n).view(np.uint32))
    kinds = [
        *((Opcode.ELEMENTWISE, {"function": f}) for f in Element),
        *((Opcode.FUNCTION, {"function": f}) for f in Function),
        *((Opcode.NORM, {"function": f, "x": one, "y": one, "c": b + half}) for f in Norm),
        *((Opcode.REDUCE, {"function": f, "x": one}) for f in Reduce),
        (Opcode.ROTARY, {"n": n // 2, "m": 2}),
        (Opcode.SOFTMAX, {"n": 13, "x": one}),
        *((Opcode.TAIL, {"function": f, "m": 5, "c": b + half, "c_stride": 4 * n}) for f in Tail),
        (Opcode.ARGMAX, {"n": 15}),
        (Opcode.TRANSPOSE, {"rows": 8, "n": 8, "o_stride": 0x20, "c_stride": 0x80}),
    ]
    for line in INSTRUCTIONS:
        if Queue.EPILOGUE in line.queues and line.opcode != Opcode.END:
            tried = {fields.get("function", 0) for opcode, fields in kinds if opcode == line.opcode}
            assert tried == set(line.functions or (0,)), line.opcode.name
    stored = 0x800
    for index, (opcode, fields) in enumerate(kinds):
        place = lane_tile_address(index % 2, stored + index // 2 * 0x100)
        a_format, b_format, o_format = (Format(index >> bit & 1) for bit in (0, 1, 2))
        operands = {"rows": rows, "n": n, "a": a, "a_stride": width[a_format], "b": b}
        operands |= {"b_stride": width[b_format], "o": place, "o_stride": width[o_format]}
        operands |= {"a_format": a_format, "b_format": b_format, "o_format": o_format}
        last = index == len(kinds) - 1
        build(
            *(Queue.EPILOGUE, opcode, () if index else [Queue.TAIL], [Queue.STORE] if last else ()),
            **(operands | fields),
        )
    lines = -(-len(kinds) // 2) * 2
    for channel in range(2):
        build(
            *(Queue.STORE, Opcode.STORE, () if channel else [Queue.EPILOGUE]),
            address=out,
            bursts=8,
            rows=lines,
            stride=0x80,
            lanes=1 << channel,
            lane_address=stored,
            lane_stride=0x80,
        )
    return {f"vector {channel}": Block(channel, out, 0x80 * lines) for channel in range(2)}


ROW_LISTS = ([5, 900, 6, 7], [11, 12, 13, 1023])


def test_dense_layer_equals_the_reference(device):
    build = Builder()
    program = build.program(ROW_LISTS, dense(build, 0x8000))
    result = check(device, program, [memory(1), memory(2)])
    assert_legal(result)
    assert result.counters["cycles"] == result.cycles
    assert result.counters["matrix_macs"] == 2 * 4 * TINY.npu.array_rows * TINY.npu.tile_columns


def test_garbage_beside_a_ragged_tile_reaches_no_result(device):
    depth, columns, nan = 3, 2, 0x7FC0
    contents = [memory(1), memory(2)]
    dense_0, dense_1 = (content.view(np.uint16) for content in contents)
    # Tile 1: its bursts 2 and 3, of 2 rows each; of 4 rows, the last one is not valid.
    for words in (dense_0, dense_1):
        tile_words = words[0x1000 // 2 : 0x1000 // 2 + 16].reshape(-1, 4)
        tile_words[:, columns:] = nan
    dense_1[0x1000 // 2 + 12 : 0x1000 // 2 + 16] = nan
    activations = dense_0[0x4000 // 2 : 0x4000 // 2 + 32].reshape(4, 8)
    activations[:, 4 + depth :] = nan
    build = Builder()
    program = build.program(ROW_LISTS, dense(build, 0x8000, depth, columns))
    result = check(device, program, contents)
    got = np.frombuffer(result.outputs["dense"], np.uint16).reshape(4, 4)
    assert not got[:, columns:].any()
    assert np.isfinite((got[:, :columns].astype(np.uint32) << 16).view(np.float32)).all()


def test_attention_in_both_channels_equals_the_reference(device):
    build = Builder()
    outputs = attention(build, 0, 0x8000) | attention(build, 1, 0x9000)
    program = build.program(ROW_LISTS, outputs)
    result = check(device, program, [memory(3), memory(4)])
    assert_legal(result)
    commands = result.trace["command"][result.trace["channel"] == 0].tolist()
    counts = {command: commands.count(command.value) for command in Command}
    assert counts[Command.PIM_ACTIVATION] == counts[Command.PIM_PRECHARGE] == 3
    assert counts[Command.PIM_GEMV] == 6
    assert counts[Command.PIM_GWRITE_DATA] == 4
    assert result.counters["pim_columns"] == 2 * 3 * 2 * (2 * 4) * TINY.memory.banks


def check_vector_instructions(device):
    build = Builder()
    program = build.program(ROW_LISTS, vector_instructions(build, 0x8000))
    contents = [memory(3), memory(4)]
    for content in contents:  # logarithms of magnitudes: also what overflows and what vanishes
        content.view(np.uint16)[0x2000 : 0x2000 + 32] = np.arange(32) * 0x07F1 % 0x10000
    result = check(device, program, contents)
    assert_legal(result)
    return result


def test_every_vector_instruction_equals_the_reference(device):
    check_vector_instructions(device)


@pytest.mark.parametrize(
    ("kind", "units"),
    [
        (SimulatedDevice, 2),
        (SimulatedDevice, 4),
        pytest.param(RtlDevice, 2, marks=pytest.mark.slow),
        pytest.param(RtlDevice, 4, marks=pytest.mark.slow),
    ],
)
def test_every_vector_instruction_on_several_units_equals_the_reference(kind, units):
    several = check_vector_instructions(kind(TINY.replace(vector_units=units)))
    # From start to retirement, each takes as long as the formula of the instruction table says.
    starts, retires = several.starts[Queue.EPILOGUE], several.retires[Queue.EPILOGUE]
    build = Builder()
    program = build.program(ROW_LISTS, vector_instructions(build, 0x8000))
    config = TINY.replace(vector_units=units)
    expected = [
        instruction_cycles(config, Queue.EPILOGUE, record)
        for record in program.streams[Queue.EPILOGUE]
    ]
    assert (retires - starts)[:-1].tolist() == expected[:-1]


def test_instructions_of_the_same_work_overlap_on_the_tile(device):
    build = Builder()
    build(
        *(Queue.TAIL, Opcode.LOAD, (), [Queue.ATTENTION]),
        address=0x4000,
        bursts=8,
        rows=1,
        lanes=1,
        lane_address=0,
    )
    shape = {"rows": 1, "n": 8, "o_stride": 16}
    for index in range(4):
        build(
            *(Queue.ATTENTION, Opcode.SOFTMAX, () if index else [Queue.TAIL]),
            [Queue.STORE] if index == 3 else (),
            a=lane_tile_address(0, 0x20 * index),
            o=lane_tile_address(0, 0x400 + 16 * index),
            x=0x3E800000,
            overlap=1,
            **shape,
        )
    build(
        *(Queue.STORE, Opcode.STORE, [Queue.ATTENTION]),
        address=0x8000,
        bursts=4,
        rows=1,
        lanes=1,
        lane_address=0x400,
    )
    outputs = {"softmax": Block(0, 0x8000, 64)}
    result = check(device, build.program(ROW_LISTS, outputs), [memory(3), memory(4)])
    starts = result.starts[Queue.ATTENTION][:4].astype(int)
    issue = issue_cycles(TINY, Opcode.SOFTMAX, function=0, rows=1, n=8, m=0)
    assert np.diff(starts).tolist() == [issue] * 3


def test_programs_run_one_after_the_other(device):
    results = []
    for seed in (5, 6):
        build = Builder()
        outputs = dense(build, 0x8000) | attention(build, 0, 0xA000)
        program = build.program(ROW_LISTS, outputs)
        results.append(check(device, program, [memory(seed), memory(seed + 10)]))
    assert_legal(*results)


def test_no_request_follows_a_completion_within_the_links(device):
    build = Builder()
    build(
        *(Queue.TAIL, Opcode.LOAD, (), [Queue.STORE]),
        address=0,
        bursts=1,
        rows=1,
        lanes=1,
        lane_address=0,
    )
    build(
        *(Queue.STORE, Opcode.STORE, [Queue.TAIL]),
        address=0x6000,
        bursts=1,
        rows=1,
        lanes=1,
        lane_address=0,
    )
    result = check(device, build.program(([], []), {}), [memory(7), memory(8)])
    channel = result.trace[result.trace["channel"] == 0]
    read = channel["cycle"][channel["command"] == Command.RD.value][0]
    accepted = channel["cycle"][(channel["command"] == ACCEPT) & (channel["kind"] == 1)][0]
    assert accepted - read >= 2 * TINY.link.link_cycles + 3


def test_stores_are_complete_when_accepted_and_in_the_cells_at_the_end(device):
    build, pim, row, loaded, results = Builder(), Queue.PIM, 0x200, 0x400, 0x800
    whole = {"bursts": TINY.memory.bursts, "rows": 1, "lanes": 0b01}
    for number in range(3):  # weights, which keep reads before the controller
        build(Queue.LOAD, Opcode.LOAD, address=0x10000 + 0x400 * number, bursts=64, rows=1)
    build(Queue.TAIL, Opcode.LOAD, (), [Queue.STORE], address=0x4000, lane_address=0, **whole)
    build(
        *(Queue.STORE, Opcode.STORE, [Queue.TAIL], [Queue.TAIL, pim]),
        address=row,
        lane_address=0,
        **whole,
    )
    build(
        *(Queue.TAIL, Opcode.LOAD, [Queue.STORE], [Queue.STORE]),
        address=row,
        lane_address=loaded,
        **whole,
    )
    build(pim, Opcode.VECTOR, wait=[Queue.STORE], bursts=2, rows=1)
    build(
        *(pim, Opcode.GEMV, (), [Queue.STORE]),
        lane_address=results,
        tiles=1,
        length=200,
        gemvs=1,
        k=4,
        slots=1,
        read=1,
    )
    build(Queue.STORE, Opcode.STORE, [Queue.TAIL], address=0x8000, lane_address=loaded, **whole)
    build(Queue.STORE, Opcode.STORE, [pim], address=0x9000, lane_address=results, **whole)
    outputs = {"again": Block(0, 0x8000, TINY.memory.row_bytes), "results": Block(0, 0x9000, 16)}
    program = build.program([[row // (TINY.memory.banks * TINY.memory.row_bytes)], []], outputs)
    result = check(device, program, [memory(3), memory(4)])
    assert_legal(result)
    channel = result.trace[result.trace["channel"] == 0]
    cycles = channel["cycle"].astype(int)
    accepts = cycles[(channel["command"] == ACCEPT) & (channel["kind"] == 1)]
    writes = cycles[np.isin(channel["command"], [Command.WR.value, Command.WRA.value])]
    assert len(accepts) == len(writes) == 3 * TINY.memory.bursts
    retires = result.retires[Queue.STORE].astype(int)
    link = TINY.link.link_cycles + 1
    first = TINY.memory.bursts - 1
    assert accepts[first] + link < retires[0] < writes[first] + link
    assert retires[-1] >= writes[-1] + TINY.memory.timing.nCWL + 3 + link


def test_a_paged_tail_is_gathered_from_the_pages_of_each_channel(device):
    # Keys of two heads of 16 elements, of the second one: a token a bank, four tokens a page.
    build, head = Builder(), 32
    rows = ([900, 6, 7, 5], [1023, 12, 0, 11])
    build(
        *(Queue.TAIL, Opcode.LOAD_PAGES, (), [Queue.STORE]),
        address=head,
        bursts=head // TINY.memory.burst_bytes,
        rows=TINY.memory.banks,
        stride=TINY.memory.row_bytes,
        lanes=0b11,
        lane_address=0x200,
        lane_stride=head,
        pages=3,
        list=1,
    )
    nbytes = 3 * TINY.memory.banks * head
    for channel in range(2):
        build(
            *(Queue.STORE, Opcode.STORE, () if channel else [Queue.TAIL]),
            address=0x8000,
            bursts=nbytes // TINY.memory.burst_bytes,
            rows=1,
            lanes=1 << channel,
            lane_address=0x200,
        )
    outputs = {f"tail {channel}": Block(channel, 0x8000, nbytes) for channel in range(2)}
    contents = [memory(3), memory(4)]
    result = check(device, build.program(rows, outputs), contents)
    assert_legal(result)
    for channel, content in enumerate(contents):
        pages = content.reshape(TINY.memory.rows, TINY.memory.banks, TINY.memory.row_bytes)[
            list(rows[channel][1:])
        ]
        assert result.outputs[f"tail {channel}"] == pages[:, :, head : 2 * head].tobytes()
    reads = result.trace[np.isin(result.trace["command"], [Command.RD.value, Command.RDA.value])]
    assert len(reads) == 2 * nbytes // TINY.memory.burst_bytes


def test_address_outside_of_a_memory_stops_the_device(device):
    build = Builder()
    build(
        *(Queue.EPILOGUE, Opcode.FUNCTION),
        rows=1,
        n=4,
        a=TINY.npu.activation_bytes,
        o=0,
        function=Function.EXP,
    )
    with pytest.raises(
        DeviceError, match=r"^address in epilogue\[0\] FUNCTION rows=1 n=4 a=0x8000: it "
    ):
        device.run(build.program(([], []), {}))


def test_both_engines_give_the_same_in_the_same_cycles(powered):
    devices = [powered(RtlDevice), powered(SimulatedDevice)]
    for again in (False, True):
        for parts in ((dense,), (attention,), (dense, attention)):
            build = Builder()
            outputs = {}
            for place, part in enumerate(parts):
                where = (0x8000 + 0x2000 * place,) if part is dense else (place, 0xA000)
                outputs |= part(build, *where)
            program = build.program(ROW_LISTS, outputs)
            contents = [memory(3), memory(4)]
            compiled, simulated = (check(device, program, contents) for device in devices)
            assert compiled.outputs == simulated.outputs
            assert compiled.cycles == simulated.cycles
            assert compiled.counters == simulated.counters
            np.testing.assert_array_equal(compiled.trace, simulated.trace)
            for name in ("starts", "retires"):
                for one, other in zip(
                    getattr(compiled, name), getattr(simulated, name), strict=True
                ):
                    np.testing.assert_array_equal(one, other)
            contents = [device.memories() for device in devices]
            for name, content in contents[0].items():
                np.testing.assert_array_equal(content, contents[1][name], err_msg=name)
        if not again:
            for device in devices:
                device.reset()


@pytest.mark.parametrize("kind", [RtlDevice, SimulatedDevice])
def test_memories_return_to_a_snapshot(powered, kind):
    device = powered(kind)
    device.write(1, 0x40, b"before")
    snapshot = device.snapshot()
    device.write(1, 0x40, b"after!")
    assert device.read(1, 0x40, 6) == b"after!"
    device.restore(snapshot)
    assert device.read(1, 0x40, 6) == b"before"
