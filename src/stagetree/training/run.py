"""One call of ``train``: what it evaluated, where it left checkpoints, whether it is over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from stagetree.core import atomic
from stagetree.core.errors import TrialPruned
from stagetree.training import checkpoint, numerics, ranks, sharding
from stagetree.training.batches import ROWS
from stagetree.training.checkpoint import Checkpoints
from stagetree.training.config import TrainingConfig
from stagetree.training.evaluation import Evaluator
from stagetree.training.forks import Forks
from stagetree.training.progress import Evaluation, Progress
from stagetree.training.steps import Steps
from stagetree.training.trainer import StageTrainer
from stagetree.training.trunk import VALIDATION

if TYPE_CHECKING:
    from stagetree.training.learner import Learner


class Context(Protocol):
    """What training needs of a stage's context; see ``stages.base.StageContext``."""

    @property
    def scratch(self) -> Path:
        """Directory for checkpoints."""

    @property
    def cache(self) -> Path:
        """Directory for what may be computed again at any time."""

    @property
    def seed(self) -> int:
        """Seed of everything random."""

    @property
    def numerics(self) -> str:
        """Resolved numerics."""

    @property
    def stepped(self) -> Callable[[int, int, Mapping[str, float]], None]:
        """Hears of optimiser steps."""

    @property
    def evaluated(self) -> Callable[[float, Mapping[str, float]], None]:
        """Hears of evaluations; may raise ``TrialPruned``."""


class Run:
    """The evaluations and checkpoints of one call of ``train``."""

    def __init__(
        self,
        learner: Learner,
        evaluator: Evaluator,
        config: TrainingConfig,
        context: Context,
        steps: Steps,
        progress: Progress,
        checkpoints: Checkpoints,
        forks: Forks,
    ) -> None:
        self._model = learner.model
        self._adapted = learner.adapted
        self._evaluator = evaluator
        self._config = config
        self._context = context
        self.steps = steps
        self.checkpoints = checkpoints
        self.forks = forks
        self._reported = context.scratch / "reported.json"
        self.directory: Path | None = None
        self.progress = progress
        last = ranks.agreed(self._last)
        if last is not None:
            self.directory = self.checkpoints.root / last["name"]
            self.progress = Progress.from_json(last["progress"])
        self._tell()

    def _last(self) -> dict[str, Any] | None:
        """Return the last checkpoint; without one, nothing was told either."""
        last = self.forks.begin(self.checkpoints)
        if last is None:
            self._reported.unlink(missing_ok=True)
            return None
        return {"name": last.directory.name, "progress": last.progress.to_json()}

    def evaluate(self, trainer: StageTrainer) -> None:
        """Score the model as it is now."""
        step = trainer.state.global_step
        found = self._metrics(trainer) if ranks.leads() or ranks.sharded() else {}
        metrics = ranks.agreed(lambda: found)
        evaluation = Evaluation(step, self.steps.evaluations[step], metrics)
        self.progress.evaluations.append(evaluation)

    def _metrics(self, trainer: StageTrainer) -> dict[str, float]:
        model = self._model
        model.eval()

        def forward(batch: Mapping[str, torch.Tensor]) -> np.ndarray:
            on_device = {name: value.to(model.device) for name, value in batch.items()}
            numbers = on_device.pop(ROWS, None)
            with (
                torch.no_grad() if ranks.sharded() else torch.inference_mode(),
                trainer.trunk.feeding(VALIDATION, numbers, on_device),
                numerics.autocast(self._context.numerics, model.device.type),
            ):
                logits: np.ndarray = model(**on_device).logits.float().cpu().numpy()
            return logits

        scores, loss = self._evaluator(forward)
        metrics = {name: float(value) for name, value in scores.metrics.items()}
        if loss is not None:
            trainer.refuse_nan("validation loss", loss)
            metrics["loss"] = loss
        return metrics

    def save(self, trainer: StageTrainer) -> None:
        """Write a checkpoint; the last one needs only the best weights, unless others go on."""
        step, directory = trainer.state.global_step, self.checkpoints.partial
        gathered = sharding.gathered(self._model) if ranks.sharded() else None
        if ranks.leads():
            self._save_weights(self.checkpoints.begin(), gathered, step)
        shared = self.forks.due(step) and (not self.over() or step == self.steps.total)
        if shared or not self.over():
            trainer.save_run(directory)
            if self._adapted is not None and ranks.leads():
                self._adapted.save_progress(directory)
        if ranks.leads():
            self.directory = self.forks.commit(self.checkpoints, self.progress, step, shared)

    def _save_weights(
        self, directory: Path, gathered: Mapping[str, torch.Tensor] | None, step: int
    ) -> None:
        path = directory / checkpoint.MODEL
        checkpoint.save_weights(self._model, path, self._adapted is None, gathered)
        if self.progress.last_is_best and self.progress.evaluated_at(step):
            atomic.share(directory / checkpoint.MODEL, directory / checkpoint.BEST)
        elif self.directory is not None and self.progress.evaluations:
            atomic.share(self.directory / checkpoint.BEST, directory / checkpoint.BEST)

    def told(self) -> bool:
        """Tell of the evaluation that was saved last; return whether training is over."""
        self._tell()
        return self.over()

    def over(self) -> bool:
        """Return whether training ends with the last evaluation."""
        return self.progress.over(self.steps.total, self._config.patience)

    def finish(self) -> dict[str, float]:
        """Give the model its best weights, where it leads, and return their metrics.

        A model that processes share out among them keeps its own; see :func:`best_weights`.
        """
        found = dict(self.progress.evaluations[self.progress.best].metrics)
        if not ranks.leads() or ranks.sharded():
            return found
        if self.directory is None:
            raise RuntimeError("expected training to end with an evaluation but there was none")
        whole = self._adapted is None
        checkpoint.load_weights(self._model, self.directory / checkpoint.BEST, frozen=whole)
        if whole:
            self._model.requires_grad_(True)
        self._model.eval()
        return found

    def _tell(self) -> None:
        """Tell of every evaluation that is saved and was not told before."""
        if not ranks.leads():
            return
        told = json.loads(self._reported.read_text("utf-8")) if self._reported.exists() else 0
        for place, evaluation in enumerate(self.progress.evaluations[told:], start=told + 1):
            try:
                self._context.evaluated(evaluation.fraction, evaluation.metrics)
            except TrialPruned:
                self._mark(place)
                raise
            self._mark(place)

    def _mark(self, told: int) -> None:
        partial = self._reported.with_suffix(".partial")
        partial.write_text(json.dumps(told), encoding="utf-8")
        shutil.move(partial, self._reported)
