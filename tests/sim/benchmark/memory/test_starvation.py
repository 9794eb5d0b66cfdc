import inspect

import pytest

import hw.controller.arbiter
import hw.controller.direction
import hw.controller.pim.tile_order
from hw.presets import TINY
from sim.benchmark.memory.starvation import MIXES, bound_of, run_mix
from sim.channel.compiled_channel import CompiledChannel
from sim.traffic.geometries import GEOMETRIES

BY_NAME = {mix.name: mix for mix in MIXES}


@pytest.fixture(scope="module")
def channel():
    return CompiledChannel(GEOMETRIES["tiny"])


@pytest.mark.parametrize("mix", MIXES, ids=BY_NAME)
def test_nothing_waits_longer_than_the_bound_once_it_is_the_oldest(channel, mix):
    waits, oldest = run_mix(channel, mix)
    assert oldest.within(bound_of(channel.config, mix)), (oldest, bound_of(channel.config, mix))
    assert waits.read > channel.config.memory.timing.nRCD
    assert waits.tile >= 60
    assert (waits.vector > 0) == mix.vector_bursts


@pytest.mark.slow
@pytest.mark.parametrize("blocked_order", ["pim_first", "memory_first", "accepted"])
def test_nothing_waits_longer_with_one_row_buffer(blocked_order):
    channel = CompiledChannel(GEOMETRIES["blocked"].replace(blocked_order=blocked_order))
    for mix in MIXES:
        _waits, oldest = run_mix(channel, mix)
        assert oldest.within(bound_of(channel.config, mix)), mix.name


#: Faults in a mechanism that keeps things from starving: a line of hw/controller/direction.py, and
#: what stands there instead; the mix that shows it; the age that requests need for it.
FAULTS = {
    "vector bursts always yield": (
        "vector_yielded.eq(1)",
        "vector_yielded.eq(0)",
        "writes at the watermark, vector bursts",
        16,
    ),
    "a direction is left before its aged request": (
        "(~writes.aged & (reads.aged | over))",
        "over",
        "random rows, shortest tiles",
        1024,
    ),
}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Keep builds of a faulty design apart: it has the sources of the right one."""
    monkeypatch.setenv("NEUPIMS_CACHE", str(tmp_path))


@pytest.mark.slow
def test_without_ageing_requests_starve():
    channel = CompiledChannel(TINY.replace(age=1 << 20))
    for name in (
        *("row conflicts in one bank, shortest tiles", "random rows, shortest tiles"),
        *("row hits against a row miss", "writes at the watermark", "rarely a write"),
    ):
        bound = bound_of(TINY, BY_NAME[name])
        _waits, oldest = run_mix(channel, BY_NAME[name])
        assert max(oldest.read, oldest.write) > 10 * bound.read, name


@pytest.mark.slow
def test_without_waivers_requests_starve_behind_planned_activations(monkeypatch, own_cache):
    monkeypatch.setattr(hw.controller.pim.tile_order, "WAIVED", 0)
    config = TINY.replace(rows=512)  # no part of it was made before
    channel = CompiledChannel(config)
    for name in ("row hits against a row miss", "writes at the watermark", "rarely a write"):
        _waits, oldest = run_mix(channel, BY_NAME[name])
        assert max(oldest.read, oldest.write) > 10 * bound_of(TINY, BY_NAME[name]).read, name


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_mechanism_without_which_a_mix_waits_too_long(monkeypatch, own_cache, fault):
    line, instead, name, age = FAULTS[fault]
    module = hw.controller.direction
    source = inspect.getsource(module)
    assert source.count(line) == 1
    names = dict(vars(module))
    exec(compile(source.replace(line, instead), module.__file__, "exec"), names)
    monkeypatch.setattr(hw.controller.arbiter, "Turn", names["Turn"])
    number = 1 + list(FAULTS).index(fault)
    config = TINY.replace(rows=1024 << number, age=age)  # no part of it was made before
    _waits, oldest = run_mix(CompiledChannel(config), BY_NAME[name])
    assert not oldest.within(bound_of(config, BY_NAME[name])), oldest
