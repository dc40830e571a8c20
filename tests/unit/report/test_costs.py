import pytest

from stagetree.core.curves import StageCurve
from stagetree.core.trials import TrialRow
from stagetree.report.costs import costs


@pytest.fixture
def pruned_at():
    def make(number: int, fraction: float) -> dict[int, list[StageCurve]]:
        return {number: [StageCurve(number, "distill", 1, "", "pruned", [(fraction, 0.5)])]}

    return make


def test_all_time_is_accounted_for(rows) -> None:
    cost = costs(rows)
    stages = {stage.name: stage for stage in cost.stages}
    assert cost.spent == pytest.approx(50 + 12.3 + 1 + 45 + 1)
    parts = sum(stage.computed + stage.cut for stage in cost.stages)
    assert parts + cost.failed + cost.other == pytest.approx(cost.spent)
    assert (stages["finetune"].runs, stages["finetune"].reuses) == (3, 1)
    assert (cost.reused, cost.reuses) == (40, 1)
    assert cost.failed == 1.0
    assert (stages["distill"].cuts, stages["distill"].cut) == (1, pytest.approx(5.0))


def test_pruning_spares_the_rest_of_the_stage_and_later_ones(stage, pruned_at) -> None:
    chain = (stage("finetune", 40), stage("distill", 20), stage("quantize", 8))
    reusing = (stage("finetune", 40, reused=True), *chain[1:])
    rows = [
        TrialRow(0, "complete", {}, (0.7,), chain, 68.0),
        TrialRow(1, "complete", {}, (0.7,), reusing, 28.0),
        TrialRow(2, "pruned", {}, (0.5,), reusing[:1], 5.0, "distill"),
    ]
    spared = {one.name: one.pruned for one in costs(rows, pruned_at(2, 0.25)).stages}
    assert spared == {
        "finetune": 0.0,
        "distill": pytest.approx(15.0),
        "quantize": pytest.approx(8.0),
    }


def test_nothing_costs_nothing() -> None:
    cost = costs([])
    assert (cost.spent, cost.reused, cost.pruned, cost.other, list(cost.stages)) == (0, 0, 0, 0, [])
