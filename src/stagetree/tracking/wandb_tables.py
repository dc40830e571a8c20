"""Tables and charts as W&B shows them, made of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stagetree.core.details import Details, Sample
    from stagetree.core.summary import StudySummary
    from stagetree.core.trials import TrialRow

_CONFUSION = "wandb/confusion_matrix/v1"
"""Name of W&B's own chart of a confusion matrix."""


def of_details(details: Details) -> dict[str, Any]:
    """Return what lies behind a result's scores, under ``tables/``.

    ``per_class``: a row a class; ``confusion``: W&B's chart; ``samples``: text, gold, predicted,
    and whether that is right. What there is nothing of is left out.
    """
    import wandb

    found: dict[str, Any] = {}
    if details.per_class:
        found["tables/per_class"] = _per_class(details.per_class)
    if details.confusion:
        columns = ["Actual", "Predicted", "nPredictions"]
        table = wandb.Table(columns=columns, data=_cells(details.labels, details.confusion))
        named = {name: name for name in columns}
        found["tables/confusion"] = wandb.plot_table(_CONFUSION, table, named, {"title": ""})
    if details.samples:
        found["tables/samples"] = _samples(details.samples)
    return found


def log_details(run: Any, details: Details) -> None:
    """Log what lies behind a result's scores, if there is anything."""
    tables = of_details(details)
    if tables:
        run.log(tables)


def of_study(summary: StudySummary, importances: Mapping[str, float]) -> dict[str, Any]:
    """Return a study's trials, Pareto front and importances, under ``tables/``.

    Trials and front have a column a hyperparameter, so that W&B's parallel coordinates can be
    drawn of either; an importance is shown as a chart of bars too.
    """
    import wandb

    found: dict[str, Any] = {"tables/trials": _trials(summary, summary.rows)}
    if len(summary.metrics) > 1 and summary.front:
        found["tables/front"] = _trials(summary, summary.front)
    if importances:
        rows: list[Sequence[Any]] = [[name, share] for name, share in importances.items()]
        table = wandb.Table(columns=["hyperparameter", "importance"], data=rows)
        found["tables/importances"] = wandb.plot.bar(
            table, "hyperparameter", "importance", title="importances"
        )
    return found


def _per_class(per_class: Mapping[str, Mapping[str, float]]) -> Any:
    import wandb

    columns = list(dict.fromkeys(name for row in per_class.values() for name in row))
    data: list[Sequence[Any]] = [
        [label, *(row.get(name) for name in columns)] for label, row in per_class.items()
    ]
    return wandb.Table(columns=["class", *columns], data=data)


def _cells(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[Sequence[Any]]:
    return [
        [gold, guess, count]
        for gold, row in zip(labels, counts, strict=True)
        for guess, count in zip(labels, row, strict=True)
    ]


def _samples(samples: Sequence[Sample]) -> Any:
    import wandb

    data: list[Sequence[Any]] = [
        [sample.text, sample.gold, sample.predicted, sample.right] for sample in samples
    ]
    return wandb.Table(columns=["text", "gold", "predicted", "right"], data=data)


def _trials(summary: StudySummary, rows: Sequence[TrialRow]) -> Any:
    """Return a table of trials; a column has numbers or text, never both, or W&B refuses it."""
    import wandb

    names = list(dict.fromkeys(name for row in summary.rows for name in row.params))
    text = {
        name for name in names if any(not _is_number(row.params.get(name)) for row in summary.rows)
    }
    front = {row.number for row in summary.front}
    head = ["trial", "state", *summary.metrics, "on_front", "seconds", "stages", "stages_reused"]
    data: list[Sequence[Any]] = [
        [
            row.number,
            row.state,
            *_values(row, len(summary.metrics)),
            row.number in front,
            round(row.seconds, 3),
            len(row.stages),
            sum(stage.reused for stage in row.stages),
            *(_shown(row.params.get(name), as_text=name in text) for name in names),
            row.command,
        ]
        for row in rows
    ]
    return wandb.Table(columns=[*head, *names, "command"], data=data)


def _values(row: TrialRow, count: int) -> list[float | None]:
    """Return the objective values, as many as there are objectives; ``None`` where unknown."""
    return [*row.values, *[None] * count][:count]


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _shown(value: object, *, as_text: bool) -> Any:
    if value is None:
        return None
    return str(value) if as_text else value
