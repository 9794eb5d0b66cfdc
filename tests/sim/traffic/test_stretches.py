"""Long runs: their stretches, what they count, and how they end when something is wrong."""

import numpy as np
import pytest

from hw.protocol.commands import Command
from sim.traffic import command as command_line
from sim.traffic import stretches as module
from sim.traffic.run import Totals, TrafficError
from sim.traffic.stretches import Outcome, Stretch, run_stretch, stretches


def test_stretches_share_the_commands_and_have_seeds_of_their_own():
    names = ["paper", "tiny", "blocked"]
    found = list(stretches(names, 1_000_000, 7))
    assert len({stretch.seed for stretch in found}) == len(found)
    assert {stretch.seed[0] for stretch in found} == {7}
    sums = {n: sum(s.commands for s in found if s.geometry == n) for n in names}
    assert 50_000 <= sums["paper"] < 51_000
    assert abs(sums["tiny"] - sums["blocked"]) < 1000
    assert sum(sums.values()) >= 1_000_000


def test_stretch_ends_when_enough_commands_have_run():
    stretch, outcome = run_stretch(Stretch("tiny", (1, 1, 0), 20_000))
    assert stretch.seed == (1, 1, 0)
    assert 20_000 <= outcome.totals.total < 50_000
    assert outcome.failures == []
    assert (outcome.violations, outcome.mismatches) == (0, 0)
    again = run_stretch(stretch)[1].totals
    assert np.array_equal(again.commands, outcome.totals.commands)
    assert again.cycles == outcome.totals.cycles


def test_stretch_ends_with_the_first_round_that_fails(monkeypatch):
    def fails(_channel, seed):
        if seed[-1] == 2:
            raise TrafficError(f"seed {seed}: wrong", violations=3, mismatches=1)
        return Totals(np.full(16, 10), 100, 5, 2)

    monkeypatch.setattr(module, "run_round", fails)
    outcome = run_stretch(Stretch("tiny", (1, 1, 0), 10_000))[1]
    assert outcome.failures == ["seed (1, 1, 0, 2): wrong"]
    assert (outcome.violations, outcome.mismatches) == (3, 1)
    assert (outcome.totals.total, outcome.totals.cycles) == (320, 200)


@pytest.mark.parametrize("fails", [False, True])
def test_command_prints_sums_and_says_by_its_status_whether_anything_failed(
    monkeypatch, capsys, tmp_path, fails
):
    commands = np.zeros(16, np.int64)
    commands[Command.RD.value] = 1234
    outcome = Outcome(Totals(commands, 9000, 1300, 0), 1.0)
    if fails:
        outcome = Outcome(outcome.totals, 1.0, 2, 1, ["tiny, seed (1, 1, 0, 0): wrong"])
    monkeypatch.setattr(command_line, "run_stretches", lambda *_: {"tiny": outcome})
    page = tmp_path / "traffic.md"
    arguments = ["traffic", "--geometry", "tiny", "--commands", "1_000", "--markdown", str(page)]
    monkeypatch.setattr("sys.argv", arguments)
    assert command_line.main() == int(fails)
    assert "1,234" in capsys.readouterr().out
    numbers = "1,234 | 9,000 | 1,300 | 0 | 0 |"
    assert f"| all | {numbers} {'2 | 1' if fails else '0 | 0'} | 1 |" in page.read_text()
    assert "| RD | 1,234 | 1,234 |" in page.read_text()
