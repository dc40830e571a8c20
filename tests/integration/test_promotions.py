"""Successive halving and Hyperband: what a rung lets through goes on, what it ends is continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest

from stagetree.core.errors import TrialPruned
from stagetree.core.reporting import Reporter, RunInfo, StageInfo
from stagetree.pipeline import runner
from stagetree.pipeline.compose import compose
from stagetree.pipeline.store import Store
from stagetree.search.stage_pruner import step_of

EPOCHS, PER_EPOCH = 5, 2
LINE = (
    "stage=finetune",
    "model=tiny",
    "numerics=fp32",
    "data.max_train=32",
    "data.max_validation=16",
    "data.max_test=8",
    f"stages.finetune.epochs={EPOCHS}",
)
RATES = (3e-3, 1e-5, 1e-6)


@dataclass
class Judged(Reporter):
    """Reports to a trial, which its pruner may end; notes the steps that were trained."""

    trial: optuna.Trial
    steps: list[int] = field(default_factory=list)

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        self.steps.append(step)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        self.trial.report(metrics["loss"], step_of(stage.index, fraction))
        if fraction < 1 and self.trial.should_prune():
            raise TrialPruned("its peers do better")


@pytest.fixture
def search(in_project: Any, tmp_path: Path) -> Callable[..., list[list[int]]]:
    """Tries every rate in a store that all searches share; returns the steps each trained."""

    def run(pruner: optuna.pruners.BasePruner) -> list[list[int]]:
        study = optuna.create_study(study_name="s", pruner=pruner)  # Hyperband goes by the name
        runner.limit_threads(1)
        trained = []
        for rate in RATES:
            judged = Judged(study.ask())
            pipeline = compose(in_project([*LINE, f"stages.finetune.learning_rate={rate}"]))
            info = RunInfo("run", tmp_path, {})
            try:
                runner.run(pipeline, Store(tmp_path / "store"), tmp_path / "cache", judged, info)
            except TrialPruned:
                study.tell(judged.trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(judged.trial, 0.0)
            trained.append(judged.steps)
        return trained

    return run


def test_no_step_is_trained_twice(search: Any) -> None:
    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=2000, reduction_factor=2)
    bands = optuna.pruners.HyperbandPruner(
        min_resource=2000, max_resource=10000, reduction_factor=2
    )
    whole = list(range(1, EPOCHS * PER_EPOCH + 1))
    first = search(halving)
    assert [steps == whole for steps in first] == [True, False, False]
    second, third = search(bands), search(optuna.pruners.NopPruner())
    for parts in zip(first, second, third, strict=True):
        assert [step for part in parts for step in part] == whole
