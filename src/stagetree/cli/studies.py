"""``stagetree studies``, ``trials`` and ``best``: what was searched and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from stagetree.cli.options import AsJson, Root, directory, show
from stagetree.core.errors import StagetreeError
from stagetree.core.trials import TrialRow

Study = Annotated[str, typer.Argument(help="Name of the study.")]
Storage = Annotated[str | None, typer.Option("--storage", help="Database URL, if it has one.")]


def studies(as_json: AsJson = False, root: Root = None) -> None:
    """List the studies: how many trials each has, in which states, and its best value."""
    from stagetree.search import results

    place = directory(root) / "studies"
    rows = [_summary(name, place) for name in results.list_studies(place)]
    table = Table("study", "trials", "complete", "pruned", "failed", "running", "best", "metric")
    for row in rows:
        best = "" if row["best"] is None else f"{row['best']:.4g}"
        counts = [str(row[state]) for state in ("complete", "pruned", "failed", "running")]
        table.add_row(row["name"], str(row["trials"]), *counts, best, row["metric"] or "")
    show(rows, as_json, table)


def _summary(name: str, place: Path) -> dict[str, Any]:
    rows, metric, direction = _open(name, place, None)
    best = _best(rows, direction)
    states = [row.state for row in rows]
    counts = {state: states.count(state) for state in ("complete", "pruned", "failed", "running")}
    value = best.values[0] if best else None
    return {"name": name, "trials": len(rows), **counts, "best": value, "metric": metric}


def _open(name: str, place: Path, storage: str | None) -> tuple[list[TrialRow], str | None, str]:
    """Return a study's trials, the name of its objective, and its direction."""
    from stagetree.search import results
    from stagetree.search.study import directions_of, metric_of

    study = results.open_study(name, place, storage)
    return results.rows(study), metric_of(study), directions_of(study)[0]


def _best(rows: list[TrialRow], direction: str) -> TrialRow | None:
    from stagetree.search import results

    return results.best(rows, direction)


def trials(
    study: Study, as_json: AsJson = False, root: Root = None, storage: Storage = None
) -> None:
    """List the trials of a study, best first (JSON: by number)."""
    from stagetree.report.lines import to_json
    from stagetree.report.tables import study_table

    rows, metric, direction = _open(study, directory(root) / "studies", storage)
    show(to_json(rows), as_json, study_table(rows, direction, metric or "value"))


def best(study: Study, as_json: AsJson = False, root: Root = None, storage: Storage = None) -> None:
    """Show the best trial of a study: its score, model, and the line that runs it again."""
    from stagetree.report.lines import best_block, to_json

    rows, metric, direction = _open(study, directory(root) / "studies", storage)
    found = _best(rows, direction)
    if found is None:
        raise StagetreeError(f"study {study!r} has no complete trial yet ({len(rows)} in all)")
    block = best_block(found, metric or "value")
    show(to_json([found])[0], as_json, block)
