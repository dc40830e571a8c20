"""Scoring a stage's result as it lies on disk: the same for every stage and model form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.stages.base import StageContext

if TYPE_CHECKING:
    from stagetree.data.corpus import Corpus
    from stagetree.models.runner import Runner
    from stagetree.tasks.base import Scores, Task
    from stagetree.tasks.examples import Examples

_BATCH = 64


@dataclass(frozen=True)
class Examined:
    """How good a result is on a split.

    Attributes:
        scores: The task's scores; the mean cross entropy joins the metrics as ``loss``.
        examples: What was predicted of each example, where the task can say.
    """

    scores: Scores
    examples: Examples | None


def score(context: StageContext, *, timed: bool) -> tuple[Examined, Mapping[str, float]]:
    """Return how good ``context.output`` is on the validation split, and what it costs.

    Args:
        context: The stage that filled it.
        timed: Whether to find out, in seconds, what it costs to ask, beside its size.
    """
    from stagetree.models.load import load
    from stagetree.models.measure import measure

    runner = load(context.output)
    found = _examined(runner, context.task, context.corpus, "validation", context.cache)
    on_cpu = str(getattr(runner, "device", "cpu")) == "cpu"
    return found, measure(runner if on_cpu else context.output, timed=timed)


def examine(model_dir: Path, task: Task, corpus: Corpus, split: str, cache: Path) -> Examined:
    """Open a result and score it.

    Args:
        model_dir: The result's model directory, of any form.
        task: The task it was made for.
        corpus: The data.
        split: ``validation`` or ``test``.
        cache: Directory for encoded rows.

    Raises:
        OutOfMemory: Not even one row at a time fits into memory.
    """
    from stagetree.models.load import load

    return _examined(load(model_dir), task, corpus, split, cache)


def _examined(runner: Runner, task: Task, corpus: Corpus, split: str, cache: Path) -> Examined:
    from stagetree.tasks.base import Scores
    from stagetree.training.encoded import encoded
    from stagetree.training.evaluation import Batches, cross_entropy
    from stagetree.training.memory import BatchSize

    labels = runner.labels
    rows = encoded(corpus, split, task, runner.tokenizer, labels, runner.max_length, cache)
    size = BatchSize(_BATCH, "the batch size of evaluation")
    logits, gold = Batches(task, runner.tokenizer, rows, size).logits(runner.logits)
    scores, loss = task.score(logits, gold, labels), cross_entropy(logits, gold)
    metrics = scores.metrics if loss is None else {**scores.metrics, "loss": loss}
    examples = task.examples(logits, gold, labels, getattr(corpus, split))
    return Examined(Scores(metrics, scores.per_class), examples)
