import pytest

from sim.benchmark.memory.starvation import MIXES, run_mix
from sim.channel.compiled_channel import CompiledChannel
from sim.traffic.geometries import GEOMETRIES


@pytest.fixture(scope="module")
def channel():
    return CompiledChannel(GEOMETRIES["tiny"])


@pytest.mark.parametrize("mix", MIXES, ids=[mix.name for mix in MIXES])
def test_no_mix_makes_anything_wait_longer_than_the_bound(channel, mix):
    waits, bound = run_mix(channel, mix)
    assert max(waits.read, waits.write, waits.tile, waits.vector) <= bound
    assert waits.read > channel.config.memory.timing.nRCD + channel.config.memory.timing.nCL
    assert waits.tile >= 60
    assert (waits.vector > 0) == mix.vector_bursts
