"""Reporting: every moment reaches every reporter; outside a trial nothing happens."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stagetree.core.errors import TrialPruned
from stagetree.core.reporting import (
    Reporter,
    Reporters,
    RunInfo,
    StageInfo,
    StageOutcome,
    TrialContext,
    current_trial,
    report,
    trial_context,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGE = StageInfo("finetune", "finetune", 0, 1, "s")


class Ear(Reporter):
    def __init__(self, prune: bool = False) -> None:
        self.heard: list[tuple[str, object]] = []
        self.prune = prune

    def run_started(self, run: RunInfo) -> None:
        self.heard.append(("run_started", run.name))

    def stage_waits(self, stage: StageInfo, seconds: float) -> None:
        self.heard.append(("stage_waits", (stage.name, seconds)))

    def stage_started(self, stage: StageInfo) -> None:
        self.heard.append(("stage_started", stage.name))

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        self.heard.append(("stepped", (step, total, dict(logs))))

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        self.heard.append(("evaluated", (stage.name, fraction, dict(metrics))))
        if self.prune:
            raise TrialPruned("enough")

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        self.heard.append(("stage_finished", outcome.seconds))

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        self.heard.append(("run_finished", status))


def test_every_moment_reaches_every_reporter_in_order() -> None:
    ears = Ear(), Ear()
    both = Reporters([ears[0], Reporter(), ears[1]])
    both.run_started(RunInfo("r", Path(), {}))
    both.stage_waits(STAGE, 1.5)
    both.stage_started(STAGE)
    both.stepped(STAGE, 1, 2, {"loss": 0.5})
    both.evaluated(STAGE, 0.5, {"f1": 0.1})
    both.stage_finished(STAGE, StageOutcome({}, 3.0, Path()))
    both.run_finished("complete", {})
    assert ears[0].heard == ears[1].heard
    assert ears[0].heard == [
        ("run_started", "r"),
        ("stage_waits", ("finetune", 1.5)),
        ("stage_started", "finetune"),
        ("stepped", (1, 2, {"loss": 0.5})),
        ("evaluated", ("finetune", 0.5, {"f1": 0.1})),
        ("stage_finished", 3.0),
        ("run_finished", "complete"),
    ]


def test_the_others_have_heard_the_news_when_the_last_prunes() -> None:
    ear = Ear()
    with pytest.raises(TrialPruned):
        Reporters([ear, Ear(prune=True)]).evaluated(STAGE, 0.5, {"f1": 0.1})
    assert ear.heard == [("evaluated", ("finetune", 0.5, {"f1": 0.1}))]


def test_report_reaches_the_trial_it_runs_in_and_only_it() -> None:
    outer, inner = Ear(), Ear()
    assert current_trial() is None
    report({"f1": 0.0}, 0.1)
    with trial_context(TrialContext("study", 1, {}, outer)):
        with trial_context(TrialContext("study", 2, {}, inner)) as context:
            assert current_trial() is context
            report({"f1": 0.5}, 0.5, stage="train")
        report({"f1": 0.6}, 1.0)
    assert current_trial() is None
    assert inner.heard == [("evaluated", ("train", 0.5, {"f1": 0.5}))]
    assert outer.heard == [("evaluated", ("main", 1.0, {"f1": 0.6}))]


def test_a_pruned_report_ends_the_context() -> None:
    with pytest.raises(TrialPruned), trial_context(TrialContext("s", 1, {}, Ear(prune=True))):
        report({"f1": 0.0}, 0.1)
    assert current_trial() is None


def test_threads_have_trials_of_their_own() -> None:
    seen: list[object] = []
    with trial_context(TrialContext("s", 1, {}, Ear())):
        thread = threading.Thread(target=lambda: seen.append(current_trial()))
        thread.start()
        thread.join()
    assert seen == [None]
