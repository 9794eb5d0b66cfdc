import pytest

from hw.presets import PAPER, TINY
from scheduler.serving.mha_latency import NEUPIMS, PimCosts, mha_latency


@pytest.mark.parametrize(
    ("context", "cycles"),
    [(1, 7256), (80, 7992), (300, 10568), (512, 12776), (1024, 25352), (2048, 50504)],
)
def test_gpt3_7b_on_four_devices_costs_what_the_artefact_of_neupims_computes(context, cycles):
    assert mha_latency(context, d_model=4096 // 4, heads=32 // 4) == cycles


def test_an_empty_cache_costs_only_the_query():
    assert mha_latency(0, d_model=1024, heads=8) == 2 * NEUPIMS.gwrite_cycles


def test_the_paper_preset_is_near_the_constants_of_the_artefact():
    costs = PimCosts.of(PAPER)
    assert costs.tile_cycles == pytest.approx(NEUPIMS.tile_cycles, rel=0.02)
    assert costs.gwrite_cycles == pytest.approx(NEUPIMS.gwrite_cycles, rel=0.05)
    assert (costs.row_elements, costs.banks) == (NEUPIMS.row_elements, NEUPIMS.banks)


def test_latency_grows_with_the_context_on_every_device():
    for costs in (NEUPIMS, PimCosts.of(TINY)):
        values = [mha_latency(n, d_model=64, heads=4, costs=costs) for n in range(1, 600)]
        assert values == sorted(values)


def test_a_negative_context_is_refused():
    with pytest.raises(ValueError, match=r"^context must not be negative, not -1$"):
        mha_latency(-1, d_model=64, heads=4)
