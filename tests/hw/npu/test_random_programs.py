"""Random programs on the whole device, with random stalls: every bit as the reference has it."""

import numpy as np
import pytest

from hw.presets import TINY
from hw.program.instruction_set import INSTRUCTIONS, Opcode, Queue
from hw.program.program import queue_kind
from hw.protocol.commands import Command
from scheduler.compiler.checks.hazards import check_hazards
from scheduler.compiler.checks.legality import check_legal
from sim.devices.amaranth_device import SimulatedDevice
from sim.devices.compiled_device import RtlDevice
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.reference import Reference
from sim.trace.command_trace import ACCEPT, KINDS
from tests.hw.npu.program_generator import channel_contents, idle_program, random_program
from tests.hw.npu.stalls import StalledDevice

#: The units of ``tiny`` on memories so small that instructions meet in them.
SMALL = TINY.replace(
    name="small",
    rows=32,
    lane_buffer_bytes=2048,
    activation_bytes=2048,
    weight_ring_bytes=512,
    row_list_entries=32,
)

#: More units of every kind, and one row buffer.
UNITS = SMALL.replace(name="units", vector_units=2, arrays=2, row_buffers=1, bank_groups=2)

TRANSFERS = (Opcode.LOAD, Opcode.LOAD_PAGES, Opcode.STORE)


def traffic(config, program):
    """Return what a program asks of each channel: bursts, tiles and PIM commands."""
    found = []
    for channel in range(config.memory.channels):
        count = dict.fromkeys(("read", "write", "tile", "gwrite", "gemv"), 0)
        for queue, _index, r in program.in_order():
            opcode, r = Opcode(int(r["opcode"])), {n: int(r[n]) for n in r.dtype.names}
            if opcode in TRANSFERS:
                if queue == Queue.LOAD or r["lanes"] >> channel & 1:
                    kind = "write" if opcode is Opcode.STORE else "read"
                    pages = r["pages"] if opcode is Opcode.LOAD_PAGES else 1
                    count[kind] += pages * r["rows"] * r["bursts"]
            elif queue == Queue.PIM + channel and opcode is Opcode.VECTOR:
                count["gwrite"] += r["rows"] * r["bursts"]
            elif queue == Queue.PIM + channel and opcode is Opcode.GEMV:
                count["tile"] += r["tiles"]
                count["gemv"] += r["tiles"] * r["gemvs"]
        found.append(count)
    return found


def seen(config, trace):
    """Return the same of a trace."""
    found = []
    for channel in range(config.memory.channels):
        records = trace[trace["channel"] == channel]
        accepted = records["kind"][records["command"] == ACCEPT].tolist()
        count = {name: accepted.count(kind) for kind, name in enumerate(KINDS)}
        commands = records["command"].tolist()
        activations = commands.count(Command.PIM_ACTIVATION.value)
        assert activations == count["tile"] * config.memory.groups
        found.append(
            {
                "read": count["read"] + count["forward"],
                "write": count["write"],
                "tile": count["tile"],
                "gwrite": commands.count(Command.PIM_GWRITE_DATA.value),
                "gemv": commands.count(Command.PIM_GEMV.value),
            }
        )
    return found


def memories(device):
    """Return the contents of all memories that a reference has, by name."""
    ring = [
        device.snapshot()[f"tile.weight_ring.lane_{channel}.memory"].view(np.uint8)
        for channel in range(device.config.memory.channels)
    ]
    bursts = [lane.reshape(-1, device.config.memory.burst_bytes) for lane in ring]
    return device.memories() | {"weight ring": np.stack(bursts, axis=1).reshape(-1)}


class Case:
    """A random program, and what becomes of the memories.

    Parameters
    ----------
    seed
        Of everything.
    length
        Instructions that are drawn.
    """

    def __init__(self, config, seed, length):
        rng = np.random.default_rng([seed, length])
        self.config = config
        self.contents = channel_contents(config, rng)
        self.program = random_program(config, rng, length)
        check_legal(self.program)
        check_hazards(config, self.program)
        self.rng = rng
        reference = Reference(config)
        for channel, content in enumerate(self.contents):
            reference.write(channel, 0, content)
        with np.errstate(all="ignore"):
            reference.run(self.program)
        self.expected = reference.memories() | {"weight ring": reference.ring}

    def check(self, device, begin):
        """Run it so many cycles after a reset; compare all memories, and count."""
        device.reset()
        idle = device.run(idle_program(self.config, begin))
        for channel, content in enumerate(self.contents):
            device.write(channel, 0, content)
        result = device.run(self.program)
        for starts, retires in zip(result.starts, result.retires, strict=True):
            assert (np.diff(starts.astype(int)) > 0).all()
            assert (np.diff(retires.astype(int)) > 0).all()
            assert (starts < retires).all()
        assert seen(self.config, result.trace) == traffic(self.config, self.program)
        for name, content in memories(device).items():
            np.testing.assert_array_equal(content, self.expected[name], err_msg=name)
        trace = np.concatenate([idle.trace, result.trace])
        end = idle.cycles + result.cycles
        violations = Monitor(self.config, Premises(to_end=False)).check(trace, end)
        assert not violations, "\n".join(map(str, violations[:10]))
        return result


@pytest.fixture(scope="module")
def stalled():
    return SimulatedDevice(SMALL, StalledDevice)


@pytest.fixture(scope="module")
def compiled_stalled():
    return RtlDevice(SMALL, design=StalledDevice)


def test_compiled_device_gives_the_values_of_the_reference():
    device = RtlDevice(TINY)
    for seed in range(12):
        Case(TINY, seed, 40).check(device, begin=1)


def test_values_do_not_depend_on_stalls(stalled):
    case = Case(SMALL, 1, 20)
    cycles = [case.check(stalled, begin).cycles for begin in (1, 300)]
    assert cycles[0] != cycles[1]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 300, 50))
def test_values_do_not_depend_on_stalls_on_the_compiled_engine(compiled_stalled, first):
    for seed in range(first, first + 50):
        case = Case(SMALL, seed, 60)
        cycles = {case.check(compiled_stalled, begin).cycles for begin in (1, 97 + seed, 1500)}
        assert len(cycles) > 1, seed


@pytest.mark.slow
def test_values_do_not_depend_on_stalls_with_more_units():
    device = RtlDevice(UNITS, design=StalledDevice)
    for seed in range(50):
        case = Case(UNITS, seed, 60)
        cycles = {case.check(device, begin).cycles for begin in (1, 40 + seed)}
        assert len(cycles) > 1, seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_both_engines_stall_in_the_same_cycles(stalled, compiled_stalled, seed):
    case = Case(SMALL, 1000 + seed, 40)
    one, other = (case.check(device, begin=50) for device in (stalled, compiled_stalled))
    assert one.cycles == other.cycles
    np.testing.assert_array_equal(one.trace, other.trace)
    for name in ("starts", "retires"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_operation_and_variant_is_drawn():
    drawn = set()
    for seed in range(40):
        for queue, _index, record in Case(SMALL, seed, 60).program.in_order():
            fields = record.dtype.names
            variant = int(record["function"]) if "function" in fields else 0
            drawn.add((queue_kind(queue), int(record["opcode"]), variant))
    for line in INSTRUCTIONS:
        variants = {
            variant
            for queue, opcode, variant in drawn
            if queue in line.queues and opcode == line.opcode
        }
        assert variants == set(line.functions or (0,)), line.opcode.name
