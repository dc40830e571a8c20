"""Training a model for one stage: the only door that stages use."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from stagetree.core import atomic
from stagetree.core.errors import TrialPruned
from stagetree.core.stopping import ends_gently
from stagetree.training import checkpoint, mixing, numerics, ranks, sharding
from stagetree.training.activations import ActivationStore
from stagetree.training.adapters import Allocate
from stagetree.training.allocator import keeps_memory
from stagetree.training.batches import ROWS, Collate, Rows, Shares
from stagetree.training.callbacks import EvaluateAt, Sparsify, Tell, Unfreeze
from stagetree.training.checkpoint import Checkpoints
from stagetree.training.config import Attack, TrainingConfig
from stagetree.training.evaluation import Evaluator
from stagetree.training.forks import Forks, Trunks
from stagetree.training.freezing import Unfreezer
from stagetree.training.memory import BatchSize
from stagetree.training.objectives import Joined
from stagetree.training.pause import Pause
from stagetree.training.progress import Evaluation, Progress
from stagetree.training.steps import Steps, count
from stagetree.training.trainer import StageTrainer
from stagetree.training.trunk import TRAIN, VALIDATION, Trunk
from stagetree.training.unpadding import unpadded
from stagetree.training.vocabulary import WHOLE, compact

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from stagetree.tasks.base import Task
    from stagetree.training.learner import Learner, Lessons
    from stagetree.training.objectives import Objective


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


def train(
    learner: Learner,
    lessons: Lessons,
    task: Task,
    config: TrainingConfig,
    objective: Objective,
    context: Context,
    eval_batch: BatchSize | None = None,
    trunks: Trunks | None = None,
) -> dict[str, float]:
    """Train a model in place and leave it with the weights of its best evaluation.

    A checkpoint is written to ``context.scratch`` at every evaluation, before it is told, and
    after the running step when the process is asked to end (:mod:`stagetree.core.stopping`). When
    there is one already, training goes on from it and ends with the same weights, bit for bit,
    as if it had not been interrupted; evaluations that were told are not told again. So it does
    from a further checkpoint of ``trunks``, whose evaluations are told first.

    Word embeddings whose ids do not occur in the rows keep their values exactly: they get neither
    a gradient nor weight decay.

    Args:
        learner: The model.
        lessons: The rows.
        task: Pads and scores.
        config: How to train.
        objective: What to minimise.
        context: Directories, seed, numerics and listeners.
        eval_batch: Examples a forward pass in evaluation; by default the config's. Halved when
            they do not fit into memory.
        trunks: Checkpoints that runs share which are the same up to there.

    Returns:
        The metrics of the best evaluation, ``loss`` among them.

    Raises:
        TrialPruned: ``context.evaluated`` said so.
        TrialFailed: A loss is not a finite number.
        OutOfMemory: Not even one example at a time can be evaluated.
    """
    model, tokenizer, rows = learner.model, learner.tokenizer, lessons.validation
    size = eval_batch or BatchSize(config.eval_batch_size, "eval_batch_size")
    evaluator = Evaluator(task, tokenizer, rows, learner.labels, size, bool(config.unfreeze))
    with (
        keeps_memory(),
        numerics.apply(context.numerics),
        _held(model, tokenizer, lessons) as vocabulary,
        _made_ready(model, objective),
    ):
        steps = count(config, len(lessons.train), ranks.count())
        checkpoints = Checkpoints(context.scratch / "checkpoints", vocabulary)
        progress = Progress(
            task.primary_metric, since=learner.masks.since(steps.total) if learner.masks else 0
        )
        facts = {"vocabulary": vocabulary, "numerics": context.numerics, "eval_batch": size.size}
        forks = Forks(trunks, learner, config, steps, facts, context.scratch)
        run = _Run(learner, evaluator, config, context, steps, progress, checkpoints, forks)
        if not run.over():
            trainer = _trainer(learner, lessons, task, config, objective, context, run)
            if learner.adapted is not None and run.directory is not None:
                learner.adapted.load_progress(run.directory)
            try:
                with ends_gently():
                    trainer.train(
                        resume_from_checkpoint=str(run.directory) if run.directory else None
                    )
            finally:
                trainer.release()
        return run.finish()


def best_weights(context: Context) -> Path:
    """Return the file of the best weights of a training that has ended."""
    last = Checkpoints(context.scratch / "checkpoints", WHOLE).last()
    if last is None:
        raise RuntimeError("expected training to end with a checkpoint but there is none")
    return last.directory / checkpoint.BEST


@contextlib.contextmanager
def _held(model: PreTrainedModel, tokenizer: Any, lessons: Lessons) -> Iterator[str]:
    """Leave out what the rows do not need, unless processes share the model out among them."""
    if ranks.sharded():
        yield WHOLE
        return
    with compact(model, tokenizer, lessons.train, lessons.validation) as vocabulary:
        yield vocabulary


@contextlib.contextmanager
def _made_ready(model: PreTrainedModel, objective: Objective) -> Iterator[None]:
    """Let the encoder skip padding, unless the objective looks inside of it."""
    with contextlib.ExitStack() as stack:
        if not isinstance(objective, Joined) or not objective.whole_rows:
            stack.enter_context(unpadded(model))
        if isinstance(objective, Joined):
            stack.enter_context(objective.joined(model))
        yield


def _trainer(
    learner: Learner,
    lessons: Lessons,
    task: Task,
    config: TrainingConfig,
    objective: Objective,
    context: Context,
    run: _Run,
) -> StageTrainer:
    if learner.adapted is not None:
        objective = learner.adapted.objective(objective)
    collate = Collate(task.collator(learner.tokenizer))
    trunk = _trunk(learner, lessons, config, objective, context, collate)
    sampler = mixing.order(task, lessons.train, config.batch_size, context.seed)
    if ranks.count() > 1:
        sampler = Shares(sampler, config.batch_size, ranks.number(), ranks.count())
    trainer = StageTrainer(
        model=learner.model,
        rows=Rows(lessons.train, lessons.soft_targets, numbered=bool(config.unfreeze)),
        sampler=sampler,
        collate=collate,
        objective=mixing.scaled(task, objective, learner.labels),
        config=config,
        steps=run.steps,
        arithmetic=context.numerics,
        seed=context.seed,
        directory=run.checkpoints.root,
        evaluated=run.evaluate,
        saved=run.save,
        callbacks=[],
        trunk=trunk,
    )
    _add_callbacks(trainer, learner, config, context, run)
    return trainer


def _trunk(
    learner: Learner,
    lessons: Lessons,
    config: TrainingConfig,
    objective: Objective,
    context: Context,
    collate: Collate,
) -> Trunk:
    store = ActivationStore(context.cache / "activations", config.reuse_gb)
    return Trunk(
        learner.model,
        {TRAIN: lessons.train, VALIDATION: lessons.validation},
        collate,
        context.numerics,
        whole=_whole(learner, config, objective),
        store=store if config.reuse else None,
    )


def _add_callbacks(
    trainer: StageTrainer, learner: Learner, config: TrainingConfig, context: Context, run: _Run
) -> None:
    """Add what happens during training; what evaluates comes last and sees all of it."""
    if config.unfreeze:
        unfreezer = Unfreezer(learner.model, config.unfreeze, run.steps.total)
        trainer.add_callback(Unfreeze(unfreezer, trainer.trunk))
    if learner.masks is not None:
        trainer.add_callback(Sparsify(learner.masks))
    if learner.adapted is not None and learner.adapted.tuner is not None:
        trainer.add_callback(Allocate(learner.adapted.tuner))
    trainer.add_callback(Tell(context.stepped, trainer.recent_logs))
    trainer.add_callback(EvaluateAt(run.steps, run.told, run.forks.due))
    trainer.add_callback(Pause(lambda: run.save(trainer)))


def _whole(learner: Learner, config: TrainingConfig, objective: Objective) -> bool:
    """Return whether every step needs all layers, the frozen ones too."""
    if ranks.count() > 1:  # each process would fill the store with the outputs of all rows
        return True
    attacked = config.adversarial.method is not Attack.none
    looks_inside = bool(objective.asks) or isinstance(objective, Joined)
    return looks_inside or learner.masks is not None or attacked


class _Run:
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
