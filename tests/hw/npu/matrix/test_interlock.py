"""Tests of the interlocks of the matrix unit, against a list of what was taken and what ended."""

import numpy as np
import pytest

from hw.npu.matrix.interlock import MatrixInterlock

#: Events of a half, and the inputs that say which.
EVENTS = ("take_gemm", "take_drain", "complete", "drained")
HALF = {name: f"{name.removeprefix('take_')}_half" for name in EVENTS}


async def pulse(ctx, dut, *names, half=None):
    """Pulse inputs for a cycle; ``half`` is the half of each of them."""
    for name in names:
        ctx.set(getattr(dut, name), 1)
        if name in HALF:
            ctx.set(getattr(dut, HALF[name]), half)
    await ctx.tick()
    for name in names:
        ctx.set(getattr(dut, name), 0)


def test_drain_waits_for_every_gemm_of_its_half_taken_before(simulate):
    dut = MatrixInterlock(3)

    async def bench(ctx):
        for half in (1, 1, 0):
            await pulse(ctx, dut, "take_gemm", half=half)
        await pulse(ctx, dut, "take_drain", half=1)
        assert not ctx.get(dut.drain_go)
        await pulse(ctx, dut, "complete", half=0)
        assert not ctx.get(dut.drain_go)
        await pulse(ctx, dut, "complete", half=1)
        assert not ctx.get(dut.drain_go)
        await pulse(ctx, dut, "complete", half=1)
        assert ctx.get(dut.drain_go)

    simulate(dut, bench)


def test_drain_does_not_wait_for_gemms_taken_after_it(simulate):
    dut = MatrixInterlock(3)

    async def bench(ctx):
        await pulse(ctx, dut, "take_gemm", half=0)
        await pulse(ctx, dut, "take_drain", half=0)
        await pulse(ctx, dut, "take_gemm", half=0)
        assert not ctx.get(dut.drain_go)
        await pulse(ctx, dut, "complete", half=0)
        assert ctx.get(dut.drain_go)

    simulate(dut, bench)


def test_gemm_waits_for_drains_of_its_half_and_for_its_weights(simulate):
    dut = MatrixInterlock(3)

    async def bench(ctx):
        await pulse(ctx, dut, "weights_start")
        await pulse(ctx, dut, "weights_ready")
        await pulse(ctx, dut, "take_drain", half=1)
        await pulse(ctx, dut, "take_gemm", half=0)
        assert ctx.get(dut.gemm_go)
        await pulse(ctx, dut, "gemm_start")
        assert not ctx.get(dut.gemm_go)
        await pulse(ctx, dut, "weights_start")
        await pulse(ctx, dut, "take_gemm", half=1)
        ctx.set(dut.weights_ready, 1)
        assert not ctx.get(dut.gemm_go)
        await ctx.tick()
        ctx.set(dut.weights_ready, 0)
        assert not ctx.get(dut.gemm_go)
        await pulse(ctx, dut, "drained", half=0)
        assert not ctx.get(dut.gemm_go)
        await pulse(ctx, dut, "drained", half=1)
        assert ctx.get(dut.gemm_go)

    simulate(dut, bench)


def test_gemm_may_go_in_the_cycle_in_which_its_weights_are_ready(simulate):
    dut = MatrixInterlock(3)

    async def bench(ctx):
        await pulse(ctx, dut, "take_gemm", half=0)
        assert not ctx.get(dut.gemm_go)
        ctx.set(dut.weights_ready, 1)
        assert ctx.get(dut.gemm_go)

    simulate(dut, bench)


def test_shadow_is_free_until_a_tile_enters_and_again_when_its_gemm_starts(simulate):
    dut = MatrixInterlock(3)

    async def bench(ctx):
        assert ctx.get(dut.shadow_free)
        await pulse(ctx, dut, "weights_start")
        assert not ctx.get(dut.shadow_free)
        await pulse(ctx, dut, "weights_ready")
        assert not ctx.get(dut.shadow_free)
        await pulse(ctx, dut, "gemm_start")
        assert ctx.get(dut.shadow_free)

    simulate(dut, bench)


class Model:
    """Program order kept as a list: an instruction goes when the earlier ones it needs have ended.

    Instructions of a kind end in their order. GEMMs wait for DRAINs of their half and the other way
    round; nothing is counted, so nothing wraps around.
    """

    def __init__(self):
        self.order = []  # [kind, half, ended]

    def take(self, kind, half):
        self.order.append([kind, half, False])

    def end(self, kind):
        self.in_flight(kind)[0][2] = True

    def in_flight(self, kind):
        return [x for x in self.order if x[0] == kind and not x[2]]

    def goes(self, kind):
        """Return whether the one of a kind that was taken last may start."""
        last = max(i for i, x in enumerate(self.order) if x[0] == kind)
        half = self.order[last][1]
        return all(x[2] for x in self.order[:last] if x[0] != kind and x[1] == half)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("in_flight", [2, 3, 4, 5])
def test_random_programs_keep_their_order(simulate, seed, in_flight):
    dut = MatrixInterlock(in_flight)
    rng = np.random.default_rng(seed)
    model = Model()
    most = {"gemm": in_flight, "drain": 2}  # of the DRAINs one waits and one reads
    waits = dict.fromkeys(most, False)
    blocked = dict.fromkeys(most, 0)

    def choose():
        """Return the events of a cycle: at most one instruction taken, any that end."""
        events = {}
        kind = ("gemm", "drain")[rng.integers(2)]
        if not waits[kind] and len(model.in_flight(kind)) < most[kind] and rng.random() < 0.7:
            events[f"take_{kind}"] = int(rng.integers(2))
        for kind, name in (("gemm", "complete"), ("drain", "drained")):
            going = model.in_flight(kind)
            if len(going) > waits[kind] and rng.random() < 0.3:
                events[name] = going[0][1]
        return events

    async def bench(ctx):
        # Weights are always there, so that only the halves decide.
        await pulse(ctx, dut, "weights_ready")
        for _cycle in range(400):
            events = choose()
            for name in EVENTS:
                ctx.set(getattr(dut, name), name in events)
            for name, half in events.items():
                ctx.set(getattr(dut, HALF[name]), half)
            await ctx.tick()
            for kind, name in (("gemm", "complete"), ("drain", "drained")):
                if name in events:
                    model.end(kind)
            for kind in most:
                if f"take_{kind}" in events:
                    model.take(kind, events[f"take_{kind}"])
                    waits[kind] = True
                if waits[kind]:
                    goes = model.goes(kind)
                    assert ctx.get(getattr(dut, f"{kind}_go")) == goes
                    blocked[kind] += not goes
                    waits[kind] = not goes or rng.random() < 0.2

    simulate(dut, bench)
    assert min(blocked.values()) > 20
