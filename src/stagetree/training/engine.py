"""Training a model for one stage: the only door that stages use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.allocator import keeps_memory
from stagetree.core.stopping import ends_gently
from stagetree.training import checkpoint, mixing, numerics, ranks
from stagetree.training.activations import ActivationStore
from stagetree.training.adapters import Allocate
from stagetree.training.batches import Collate, Rows, Shares
from stagetree.training.callbacks import EvaluateAt, Sparsify, Tell, Unfreeze
from stagetree.training.checkpoint import Checkpoints
from stagetree.training.config import Attack, TrainingConfig
from stagetree.training.evaluation import Evaluator
from stagetree.training.forks import Forks, Trunks
from stagetree.training.freezing import Unfreezer
from stagetree.training.memory import BatchSize
from stagetree.training.objectives import Joined
from stagetree.training.pause import Pause
from stagetree.training.progress import Progress
from stagetree.training.run import Context, Run
from stagetree.training.steps import count
from stagetree.training.trainer import StageTrainer
from stagetree.training.trunk import TRAIN, VALIDATION, Trunk
from stagetree.training.unpadding import unpadded
from stagetree.training.vocabulary import WHOLE, compact

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from stagetree.tasks.base import Task
    from stagetree.training.learner import Learner, Lessons
    from stagetree.training.objectives import Objective


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
        with contextlib.closing(
            Forks(trunks, learner, config, steps, facts, context.scratch)
        ) as forks:
            run = Run(learner, evaluator, config, context, steps, progress, checkpoints, forks)
            if not run.over():
                trainer = _trainer(learner, lessons, task, config, objective, context, run)
                _fit(trainer, learner, run.directory)
        return run.finish()


def _fit(trainer: StageTrainer, learner: Learner, last: Path | None) -> None:
    """Train, from the last checkpoint if there is one."""
    if learner.adapted is not None and last is not None:
        learner.adapted.load_progress(last)
    try:
        with ends_gently():
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        trainer.release()


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
    run: Run,
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
    trainer: StageTrainer, learner: Learner, config: TrainingConfig, context: Context, run: Run
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
