"""Scoring a stage's result as it lies on disk: the same for every stage and model form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stagetree.stages.base import StageContext

if TYPE_CHECKING:
    from stagetree.tasks.base import Scores

_BATCH = 64


def score(context: StageContext) -> tuple[Scores, Mapping[str, float]]:
    """Return the validation scores of ``context.output`` and what it costs to keep and to ask.

    The mean cross entropy joins the scores as ``loss``.
    """
    from stagetree.models.load import load
    from stagetree.models.measure import measure
    from stagetree.tasks.base import Scores
    from stagetree.training.encoded import encoded
    from stagetree.training.evaluation import evaluate

    runner = load(context.output)
    rows = encoded(
        context.corpus,
        "validation",
        context.task,
        runner.tokenizer,
        runner.labels,
        runner.max_length,
        context.cache,
    )
    scores, loss = evaluate(runner, context.task, rows, runner.labels, _BATCH)
    metrics = scores.metrics if loss is None else {**scores.metrics, "loss": loss}
    on_cpu = getattr(runner, "device", "cpu") == "cpu"
    return Scores(metrics, scores.per_class), measure(runner if on_cpu else context.output)
