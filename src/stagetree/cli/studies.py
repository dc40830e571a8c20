"""``stagetree studies``, ``trials`` and ``best``: what was searched and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from stagetree.cli import summaries
from stagetree.cli.options import AsJson, Root, StudyName, directory, show, study_home
from stagetree.core.errors import ConfigError, Fault, StagetreeError
from stagetree.core.trials import TrialRow

if TYPE_CHECKING:
    from optuna import Study

Storage = Annotated[
    str | None, typer.Option("--storage", help="Database URL, for a study that has one.")
]


def studies(as_json: AsJson = False, root: Root = None) -> None:
    """List the studies: how many trials each has, in which states, and its best value."""
    rows = summaries.summaries(directory(root))
    table = Table("study", "trials", "complete", "pruned", "failed", "running", "best", "metric")
    for row in rows:
        if row.get("error"):
            table.add_row(row["name"], "?")
            continue
        best = "" if row["best"] is None else f"{row['best']:.4g}"
        counts = [str(row[state]) for state in ("complete", "pruned", "failed", "running")]
        table.add_row(row["name"], str(row["trials"]), *counts, best, row["metric"] or "")
    for row in rows:
        if row.get("error"):
            typer.echo(f"study {row['name']} cannot be read: {row['error']}", err=True)
    show(rows, as_json, table)


def trials(
    study: StudyName,
    errors: Annotated[
        bool, typer.Option("--errors", help="Show what went wrong, each kind of error once.")
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """List the trials of a study, best first (JSON: by number).

    Each trial's stages are marked: run by it, reused from the store or another trial, or pruned
    in it.
    """
    from stagetree.report.errors import error_table
    from stagetree.report.lines import to_json
    from stagetree.report.tables import study_table
    from stagetree.search import results
    from stagetree.search.study import directions_of, metrics_of

    found = results.open_study(study, directory(root) / "studies", storage)
    rows = results.rows(found)
    if errors:
        wrong = [row for row in rows if row.error]
        show(to_json(wrong), as_json, error_table(wrong) if wrong else "no trial failed")
        return
    directions = directions_of(found)
    front = {row.number for row in results.front(rows, directions)}
    show(to_json(rows), as_json, study_table(rows, directions, metrics_of(found), front))


def best(
    study: StudyName,
    trial: Annotated[
        int | None, typer.Option("--trial", help="Take this trial instead of the best.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write it as an experiment: experiments/NAME.yaml."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let --export replace an existing file.")
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """Show the best trial of a study: its score, model, and the line that runs it again.

    With --export it becomes an experiment, a complete configuration that gives the same score:

        stagetree best demo --export experiments/demo_best.yaml
        python run.py +experiment=demo_best

    The experiment is listed in README.md beside it. A study with several objectives has no
    single best trial: its Pareto front is shown, and one can be chosen with --trial.
    """
    from stagetree.cli import export as exporting
    from stagetree.report.lines import best_block, front_block, to_json
    from stagetree.search import results
    from stagetree.search.study import directions_of, metrics_of

    if export is not None:
        exporting.check(export, force=force)
    found = results.open_study(study, directory(root) / "studies", storage)
    rows, metrics = results.rows(found), metrics_of(found)
    if len(metrics) > 1 and trial is None and export is None:
        front = results.front(rows, directions_of(found))
        complete = sum(row.state == "complete" for row in rows)
        show(to_json(front), as_json, front_block(front, complete, metrics))
        return
    row = _chosen(found, rows, trial, exporting=export is not None)
    shown, block = to_json([row])[0], best_block(row, metrics)
    if export is not None:
        home = study_home(study, root)
        ended = found.get_trials(deepcopy=False)[row.number].datetime_complete
        exporting.export(exporting.Origin(found.study_name, home, row, metrics, ended), export)
        shown["experiment"] = str(export)
        block += f"\nkept    {export}; run it with: python run.py +experiment={export.stem}"
    show(shown, as_json, block)


def _chosen(
    study: Study, rows: Sequence[TrialRow], number: int | None, *, exporting: bool
) -> TrialRow:
    """Return the trial that is asked for.

    Raises:
        ConfigError: There is no such trial, or a study with several objectives has no best one.
        StagetreeError: The study has no complete trial.
    """
    from stagetree.search import results
    from stagetree.search.study import directions_of

    name, directions = study.study_name, directions_of(study)
    if number is not None:
        if not 0 <= number < len(rows):
            message = f"expected a trial of study {name!r}, 0 to {len(rows) - 1}, got {number}"
            raise ConfigError([Fault("--trial", message)])
        if rows[number].state != "complete":
            message = f"expected a complete trial but trial {number} is {rows[number].state}"
            raise ConfigError([Fault("--trial", message)])
        return rows[number]
    if exporting and len(directions) > 1:
        message = (
            f"study {name!r} has {len(directions)} objectives and no single best trial; "
            f"list them with: stagetree trials {name}"
        )
        raise ConfigError([Fault("--trial", message)])
    found = results.best(rows, directions[0])
    if found is None:
        raise StagetreeError(
            f"study {name!r} has no complete trial within its bounds yet ({len(rows)} in all)"
        )
    return found
