import pytest

from stagetree.core.trials import StageRow, TrialRow


@pytest.fixture
def stage():
    def make(name, seconds=10.0, reused=False, **metrics):
        return StageRow(name, name, "ab" * 32, seconds, reused, f"/store/{name}/model", metrics)

    return make


@pytest.fixture
def rows(stage):
    def params(rate):
        return {"finetune.learning_rate": rate, "distill.temperature": 2.0, "seed": 13}

    return [
        TrialRow(
            0, "complete", params(1e-5), (0.7,), (stage("finetune", 40), stage("distill")), 50.0
        ),
        TrialRow(
            1,
            "complete",
            params(3e-4),
            (0.8123,),
            (stage("finetune", 40, reused=True), stage("distill", 12.3)),
            12.3,
            command="python run.py stages.finetune.learning_rate=0.0003",
        ),
        TrialRow(2, "failed", params(1.0), error="TrialFailed: loss is nan", seconds=1.0),
        TrialRow(3, "pruned", params(0.1), (0.61,), (stage("finetune", 40),), 45.0, "distill"),
        TrialRow(4, "complete", params(2e-5), (0.75,), (stage("finetune", 1),), 1.0),
    ]
