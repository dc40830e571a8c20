"""From a model and a corpus to a stored, trained model: what training stages have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

from stagetree.core.errors import OutOfMemory
from stagetree.core.signature import result_fields
from stagetree.data.augment.corpus import augmented
from stagetree.data.share import part
from stagetree.models import huggingface
from stagetree.training import checkpoint, limits, memory, ranks, steps
from stagetree.training.adapters import Adapted
from stagetree.training.encoded import encoded
from stagetree.training.engine import best_weights, train
from stagetree.training.forks import Trunks
from stagetree.training.gold import weighted
from stagetree.training.learner import Learner, Lessons, Taught
from stagetree.training.limits import Limit, Limits
from stagetree.training.memory import BatchSize
from stagetree.training.run import Context

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.base import Task
    from stagetree.training.config import TrainingConfig
    from stagetree.training.learner import Start
    from stagetree.training.objectives import Objective

    Teach = Callable[[Learner, Dataset, BatchSize, Objective], Taught]


class StageSurroundings(Context, Protocol):
    """What fitting needs of a stage's context; see ``stages.base.StageContext``."""

    @property
    def name(self) -> str:
        """The stage's name in its pipeline."""

    @property
    def task(self) -> Task:
        """The task."""

    @property
    def corpus(self) -> Corpus:
        """The data."""

    @property
    def cache(self) -> Path:
        """Directory for encoded rows and memory limits."""

    @property
    def output(self) -> Path:
        """Empty directory for the result."""

    @property
    def trunks(self) -> Trunks | None:
        """Checkpoints that runs share which are the same up to there."""


def fit(
    start: Start,
    config: TrainingConfig,
    objective: Objective,
    context: StageSurroundings,
    teach: Teach | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> None:
    """Train on the stage's corpus and write the best weights to ``context.output``.

    When memory runs out, training goes on from the stage's last checkpoint, or from the start,
    with a smaller micro-batch and the same batch: all is then as if the config had asked for that
    micro-batch from there on. Several processes must all be started anew for that. What fitted is
    kept in ``context.cache`` (see :class:`Limits`), and stages with equal needs begin with it.

    Args:
        start: What is trained.
        config: How to train.
        objective: What to minimise.
        context: The stage's surroundings.
        teach: Makes a teacher's outputs for the learner's encoded training rows, given how many
            rows may go through it at once; it may add rows that only the teacher answers, and
            to the objective.
        lineage: What the result was made from and how, for people.

    Raises:
        TrialPruned: ``context.evaluated`` said so.
        TrialFailed: A loss is not a finite number.
        OutOfMemory: Not even one example at a time fits into memory, or is known not to.
        BeginAgain: This is one of several processes, and a smaller micro-batch may fit.
    """
    known = Limits(context.cache / limits.FILE, _needs(start, config, context))
    limit = Limit(**ranks.agreed(lambda: asdict(known.read())))
    if limit.failures >= limits.HOPELESS:
        tried = f"{limit.failures} attempts have shown it; delete {known.path} to try again"
        raise _unfit(config, context, tried)
    micro_batch, eval_batch = _sizes(config, context.name, known, limit)

    def attempt(micro_batch_size: int) -> Learner:
        learner = start.build()
        lessons, goal = _lessons(learner, config, objective, context, eval_batch, teach)
        fitting = replace(config, micro_batch_size=micro_batch_size)
        if config.adapter.active:
            total = steps.count(fitting, len(lessons.train), ranks.count()).total
            adapted = Adapted(learner.model, config.adapter, context.seed, total)
            learner = replace(learner, adapted=adapted)
        train(learner, lessons, context.task, fitting, goal, context, eval_batch, context.trunks)
        return learner

    try:
        fits = memory.until_it_fits if ranks.count() == 1 else memory.or_begin_again
        learner = fits(attempt, micro_batch)
    except OutOfMemory as error:
        why = str(error)  # the error itself holds on to the model
    else:
        if ranks.leads():
            if limit.failures:
                known.succeed()
            _finish(learner, start, config, context, lineage)
        return
    known.fail()
    raise _unfit(config, context, why)


def _finish(
    learner: Learner,
    start: Start,
    config: TrainingConfig,
    context: StageSurroundings,
    lineage: Mapping[str, Any] | None,
) -> None:
    """Save what was trained as a model that stands by itself."""
    if ranks.sharded():  # what was trained is in parts
        learner = start.build()
        checkpoint.load_weights(learner.model, best_weights(context))
    if learner.masks is not None:
        learner.masks.bake()
    _save(learner, config, context, lineage)


def _needs(start: Start, config: TrainingConfig, context: StageSurroundings) -> dict[str, Any]:
    """Return all that decides how large a micro-batch may be."""
    adapter = {"adapter": result_fields(config.adapter)} if config.adapter.active else {}
    together = {"processes": ranks.count(), "sharded": ranks.sharded()}
    return {
        **adapter,
        **(together if ranks.count() > 1 else {}),
        "device": memory.device(),
        "start": dict(start.needs),
        "task": context.task.kind,
        "data": context.corpus.fingerprint,
        "max_length": config.max_length,
        "numerics": context.numerics,
        "batch_size": config.batch_size,
        "unfreeze": [[phase.until, phase.layers] for phase in config.unfreeze],
        "regularised": [config.r_drop > 0, config.l2_start > 0, config.adversarial.method.value],
        "augment": result_fields(config.augment),
        "gradient_checkpointing": config.gradient_checkpointing,
        "dropout": None if config.dropout is None else config.dropout > 0,
    }


def _sizes(
    config: TrainingConfig, stage: str, known: Limits, limit: Limit
) -> tuple[BatchSize, BatchSize]:
    """Return micro-batch and evaluation batch to begin with: as configured, or as fitted before."""
    share = config.batch_size // ranks.count()
    micro, evaluation = config.micro_batch_size or share, config.eval_batch_size
    fitting = min(micro, limit.micro_batch_size or micro)
    return (
        BatchSize(
            memory.largest_divisor(share, fitting),
            f"stages.{stage}.micro_batch_size",
            divides=share,
            halved=lambda size: known.lower("micro_batch_size", size),
        ),
        BatchSize(
            min(evaluation, limit.eval_batch_size or evaluation),
            f"stages.{stage}.eval_batch_size",
            halved=lambda size: known.lower("eval_batch_size", size),
        ),
    )


def _lessons(
    learner: Learner,
    config: TrainingConfig,
    objective: Objective,
    context: StageSurroundings,
    eval_batch: BatchSize,
    teach: Teach | None,
) -> tuple[Lessons, Objective]:
    corpus = training_corpus(config, context)
    with ranks.one_first():
        train_rows, validation_rows = (
            encoded(
                corpus if split == "train" else context.corpus,
                split,
                context.task,
                learner.tokenizer,
                learner.labels,
                config.max_length,
                context.cache,
            )
            for split in ("train", "validation")
        )
    objective = weighted(objective, config.loss, train_rows, learner.labels)
    if teach is None:
        return Lessons(train_rows, validation_rows), objective
    taught = teach(learner, train_rows, eval_batch, objective)
    lessons = Lessons(taught.rows, validation_rows, taught.soft_targets)
    return lessons, taught.objective or objective


def training_corpus(config: TrainingConfig, context: StageSurroundings) -> Corpus:
    """Return the share of the stage's corpus that ``config`` asks for, with copies of examples.

    Raises:
        ConfigError: The method of ``config.augment`` cannot change what the task reads.
    """
    corpus = part(context.corpus, config.data_share)
    return augmented(corpus, context.task.layout, config.augment, context.seed, context.cache)


def _save(
    learner: Learner,
    config: TrainingConfig,
    context: StageSurroundings,
    lineage: Mapping[str, Any] | None,
) -> None:
    form = None
    parameters = learner.model.num_parameters()
    if learner.adapted is not None:
        form = learner.adapted.form
        lineage = {**(lineage or {}), "adapter": learner.adapted.dissolve(context.output)}
    huggingface.save(
        learner.model,
        learner.tokenizer,
        context.output,
        context.task.kind,
        learner.labels,
        config.max_length,
        numerics=context.numerics,
        lineage=lineage,
        form=form,
        parameters=parameters if form == "adapter" else None,
    )


def _unfit(config: TrainingConfig, context: StageSurroundings, why: str) -> OutOfMemory:
    return OutOfMemory(
        f"stage {context.name!r} does not fit into the memory of {memory.device()}, not even one "
        f"example at a time (batch_size={config.batch_size}, max_length={config.max_length}): "
        f"{why}; lower stages.{context.name}.max_length or use a smaller model"
    )
