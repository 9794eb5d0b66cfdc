"""Injected errors: each stops the device with an exception that names the instruction."""

import re

import pytest

from hw.presets import TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import LANE_SPACE, Opcode, Queue, queue_name
from sim.device import DeviceError
from sim.devices.amaranth_device import SimulatedDevice
from sim.devices.compiled_device import RtlDevice

QUEUES = Queue.PIM + TINY.memory.channels
GOOD = """
    .input 0 0x100 00112233445566778899aabbccddeeff
    .output copy 0 0x4000 16
    tail LOAD address=0x100 bursts=1 rows=1 lanes=1 lane_address=0x40 signal:store
    store STORE address=0x4000 bursts=1 rows=1 lanes=1 lane_address=0x40 wait:tail
"""


KINDS = [
    pytest.param(RtlDevice, id="compiled"),
    pytest.param(SimulatedDevice, id="simulated", marks=pytest.mark.slow),
]


@pytest.fixture(params=KINDS)
def device(request, powered):
    return powered(request.param)


def program(text):
    """Assemble a program for two channels; all queues end."""
    ends = "\n".join(f"{queue_name(queue)} END" for queue in range(QUEUES))
    return assemble(f".channels 2\n{text}\n{ends}")


def fails(device, bad):
    with pytest.raises(DeviceError) as caught:
        device.run(bad)
    return caught.value


def assert_works_after_reset(device):
    error = fails(device, program(GOOD))
    assert error.cause == "stopped"
    assert str(error).startswith("the device has stopped (")
    device.reset()
    assert device.run(program(GOOD)).outputs["copy"].hex() == "00112233445566778899aabbccddeeff"


TRANSFER = "address=0 bursts=1 rows=1 lanes=2"
PAGES = "LOAD_PAGES bursts=1 rows=1 pages=1 lanes=2"
PAGE_BYTES = TINY.memory.banks * TINY.memory.row_bytes
NORM = "NORM rows=1 n=4 a=0 b=0 c=0"
GEMV = "GEMV tiles=1 length=200 gemvs=1 k=1 slots=1"
LANES = f"{LANE_SPACE:#x}"


@pytest.mark.parametrize(
    ("queue", "before", "bad"),
    [
        (
            Queue.LOAD,
            "LOAD bursts=1 rows=1",
            f"LOAD address={TINY.memory.channel_bytes} bursts=1 rows=1",
        ),
        (Queue.LOAD, "LOAD bursts=1 rows=1", "LOAD address=8 bursts=1 rows=1"),
        (
            Queue.TAIL,
            f"LOAD {TRANSFER}",
            f"LOAD {TRANSFER} lane_address={TINY.npu.lane_buffer_bytes}",
        ),
        (Queue.TAIL, f"{PAGES} address=0", f"{PAGES} address={PAGE_BYTES}"),
        (Queue.TAIL, f"{PAGES} address=0", f"{PAGES} address=0 rows=2 stride={PAGE_BYTES}"),
        (Queue.TAIL, f"LOAD {TRANSFER}", f"{PAGES} list={TINY.npu.row_list_entries}"),
        (Queue.STORE, f"STORE {TRANSFER}", f"STORE {TRANSFER} lane_address=0x44"),
        (Queue.MATRIX, "DRAIN rows=1", f"WEIGHTS ring={TINY.npu.weight_ring_bytes}"),
        (Queue.MATRIX, "WEIGHTS", "GEMM rows=2 stride=0x8000"),
        (Queue.MATRIX, "DRAIN rows=1", f"DRAIN rows={TINY.npu.accumulator_rows + 1} stride=8"),
        (Queue.EPILOGUE, NORM, f"{NORM} o={TINY.npu.activation_bytes}"),
        (Queue.ATTENTION, NORM, f"SOFTMAX rows=2 n=4 a_stride=0xffff0 a={LANES}"),
        (
            Queue.ATTENTION,
            NORM,
            f"ELEMENTWISE rows=1 n=4 a={LANE_SPACE | TINY.memory.channels << 20}",
        ),
        (Queue.PIM, "VECTOR bursts=1 rows=1", "VECTOR bursts=1 rows=1 offset=1"),
        (Queue.PIM + 1, "VECTOR bursts=1 rows=1", "VECTOR bursts=1 rows=2 lane_stride=0x8000"),
        (Queue.PIM, GEMV, f"{GEMV} list={TINY.npu.row_list_entries}"),
        (Queue.PIM + 1, GEMV, f"{GEMV} column={TINY.memory.columns}"),
        (Queue.PIM, GEMV, f"{GEMV} slot={TINY.pim.slots}"),
        (Queue.PIM, GEMV, f"{GEMV} read=1 lane_address={TINY.npu.lane_buffer_bytes}"),
    ],
)
def test_address_outside_is_named(device, queue, before, bad):
    name = queue_name(queue)
    error = fails(device, program(f"{name} {before}\n{name} {bad}"))
    assert (error.cause, error.queue, error.index) == ("address", queue, 1)
    operation = bad.split()[0]
    pattern = rf"^address in {re.escape(name)}\[1\] {operation} .*: it (reads|writes) .*$"
    assert re.match(pattern, str(error)), error
    assert_works_after_reset(device)


@pytest.mark.parametrize(
    ("queue", "good", "changes"),
    [
        (Queue.MATRIX, "WEIGHTS", {"opcode": Opcode.SOFTMAX}),
        (Queue.MATRIX, "GEMM rows=1", {"rows": 0}),
        (Queue.MATRIX, "DRAIN rows=1", {"rows": 0}),
        (Queue.PIM + 1, "VECTOR bursts=1 rows=1", {"opcode": Opcode.LOAD}),
        (Queue.EPILOGUE, "ELEMENTWISE rows=1 n=4", {"function": 15}),
        (Queue.LINK, "ALLREDUCE", {"opcode": 31}),
        (Queue.LOAD, "LOAD", {"wait_channels": 1 << TINY.memory.channels}),
        (Queue.PIM, "VECTOR bursts=1 rows=1", {"signal_channels": 0b10}),
    ],
)
def test_illegal_instruction_is_named(device, queue, good, changes):
    name = queue_name(queue)
    bad = program(f"{name} {good}\n{name} {good}")
    for field, value in changes.items():
        bad.streams[queue][field][1] = value
    error = fails(device, bad)
    assert (error.cause, error.queue, error.index) == ("illegal", queue, 1)
    assert str(error).startswith(f"illegal in {name}[1] ")
    assert_works_after_reset(device)


def test_token_overflow_names_the_instruction_that_sends_the_256th(device):
    lines = ["link ALLREDUCE"] * 3 + ["link ALLREDUCE signal:load"] * 260
    error = fails(device, program("\n".join(lines)))
    assert (error.cause, error.queue, error.index) == ("overflow", Queue.LINK, 3 + 255)
    assert str(error) == "overflow in link[258] ALLREDUCE signal:load"
    assert_works_after_reset(device)


def test_deadlock_names_every_instruction_that_waits(device):
    error = fails(device, program("load LOAD wait:link\nlink ALLREDUCE wait:matrix signal:load"))
    assert (error.cause, error.queue, error.index) == ("deadlock", None, None)
    heads = re.match(r"^a deadlock: still to start are (.*)$", str(error))[1].split("; ")
    assert heads == ["load[0] LOAD wait:link", "link[0] ALLREDUCE wait:matrix signal:load"]
    assert_works_after_reset(device)


@pytest.mark.parametrize(
    ("queue", "instruction"),
    [
        (Queue.TAIL, "LOAD_PAGES bursts=2 rows=1 pages=3 lanes=2"),
        (Queue.PIM + 1, "GEMV tiles=3 length=200 gemvs=1 k=1 slots=1"),
    ],
)
@pytest.mark.parametrize(
    "row", [TINY.memory.rows, 2 * TINY.memory.rows - 1, 100 * TINY.memory.rows]
)
def test_an_entry_of_the_row_list_that_names_no_row_is_named(device, queue, instruction, row):
    name = queue_name(queue)
    lines = f".rows 1 3 4 {row}\n{name} {instruction.replace('=3', '=2', 1)}\n{name} {instruction}"
    error = fails(device, program(lines))
    assert (error.cause, error.queue, error.index) == ("address", queue, 1)
    where = f": it reads rows of channel 1 from {row:#x} to {row + 1:#x}, which ends at 0x400"
    assert str(error).startswith(f"address in {name}[1] {instruction.split()[0]} ")
    assert str(error).endswith(where)
    assert_works_after_reset(device)
