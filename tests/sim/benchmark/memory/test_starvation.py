import pytest

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
@pytest.mark.parametrize("geometry", ["blocked", "accepted", "aim-timing"])
def test_nothing_waits_longer_with_one_row_buffer(geometry):
    channel = CompiledChannel(GEOMETRIES[geometry])
    for mix in MIXES:
        _waits, oldest = run_mix(channel, mix)
        assert oldest.within(bound_of(channel.config, mix)), mix.name
