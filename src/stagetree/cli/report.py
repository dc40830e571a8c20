"""``stagetree report``: a study as one page that opens anywhere, and as tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stagetree.cli.options import AsJson, Root, StudyName, directory, show
from stagetree.cli.studies import Storage
from stagetree.core import confirmations
from stagetree.core.errors import ConfigError, Fault, StagetreeError

if TYPE_CHECKING:
    from optuna import Study

    from stagetree.core.curves import StageCurve
    from stagetree.core.trials import TrialRow
    from stagetree.pipeline.record import Record
    from stagetree.pipeline.store import Store
    from stagetree.report.view import StudyView
    from stagetree.search.figures import Drawn
    from stagetree.tasks.examples import Confusion


def report(
    study: StudyName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The page; by default report.html in the study."),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write all trials as CSV.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write the table as Markdown.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option("--latex", help="Also write the table as LaTeX (booktabs).")
    ] = None,
    charts: Annotated[
        bool, typer.Option("--charts/--no-charts", help="With charts (5 MB for Plotly) or not.")
    ] = True,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """Write the report of a study: one HTML file that opens offline.

    It holds a verdict in words, all trials, the tree of stages, charts, where the time went, how
    good the best is class by class, errors, and the lines that run it again. It can be written
    while the study runs.
    """
    from stagetree.core import atomic
    from stagetree.report.page import page
    from stagetree.search import results

    place = directory(root) / "studies"
    found = results.open_study(study, place, storage)
    home = Path(study) if Path(study).is_dir() else place / found.study_name
    target = output or (home / "report.html" if home.is_dir() else Path("report.html"))
    tables = {"--csv": csv, "--markdown": markdown, "--latex": latex}
    _check({"--output": target, **tables})
    view = look(found, home, directory(root), charts=charts)
    atomic.write_text(target, page(view))
    written = {"report": str(target)}
    for option, file in tables.items():
        if file is not None:
            atomic.write_text(file, _table(view, option))
            written[option.removeprefix("--")] = str(file)
    lines = "\n".join(f"{name:<8}  {file}" for name, file in written.items())
    show(written, as_json, lines)


def look(study: Study, home: Path, root: Path, *, charts: bool = True) -> StudyView:
    """Return all that a report says of a study.

    Args:
        study: The study.
        home: Its directory, where the sweeper saved its line.
        root: The directory of the store.
        charts: Whether charts are drawn.
    """
    from stagetree.cli.export import search_line
    from stagetree.pipeline.store import Store
    from stagetree.report.view import StudyView
    from stagetree.search import results
    from stagetree.search.curves import curves
    from stagetree.search.study import directions_of, metrics_of

    rows, directions = results.rows(study), directions_of(study)
    front = results.front(rows, directions)
    drawn = _drawn(study) if charts else None
    store = Store(root / "store")
    detail = next(iter(front), None)
    trials = study.get_trials(deepcopy=False)
    told: dict[int, list[StageCurve]] = {}
    for curve in curves(study):
        told.setdefault(curve.trial, []).append(curve)
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    return StudyView(
        name=study.study_name,
        rows=rows,
        directions=directions,
        metrics=metrics_of(study),
        best=detail if len(directions) == 1 else None,
        front=front,
        curves=told,
        records=_records(store, rows),
        confusion=_confusion(store, detail, home) if detail else None,
        space=_space(study),
        constraints=_bounds(study),
        search_line=search_line(home) or "",
        figures=drawn.figures if drawn else (),
        left_out=drawn.left_out if drawn else (),
        updated=f"{max(ended):%Y-%m-%d %H:%M}" if ended else "",
        confirmed=_confirmed(home),
    )


def _confirmed(home: Path) -> list[str]:
    """Return the sentences of the newest confirmation, if there is one that can be read."""
    try:
        found = confirmations.read(home)
        said = [str(line) for line in found[-1]["verdict"]] if found else []
    except (StagetreeError, LookupError, TypeError):
        return []
    return [line if line.endswith(".") else f"{line}." for line in said]


def _drawn(study: Study) -> Drawn:
    from stagetree.search.figures import figures

    return figures(study)


def _check(files: dict[str, Path | None]) -> None:
    """Check that all files can be written before anything is computed.

    Raises:
        ConfigError: With each whose directory is not there.
    """
    faults = [
        Fault(option, f"expected an existing directory but there is no {str(file.parent)!r}")
        for option, file in files.items()
        if file is not None and not file.parent.is_dir()
    ]
    if faults:
        raise ConfigError(faults)


def _table(view: StudyView, option: str) -> str:
    from stagetree.report import files
    from stagetree.report.leaderboard import leaderboard

    front = frozenset(row.number for row in view.front)
    board = leaderboard(view.rows, view.directions, view.metrics, front)
    write = {
        "--csv": files.to_csv,
        "--markdown": files.to_markdown,
        "--latex": files.to_latex,
    }[option]
    return write(board)


def _records(store: Store, rows: Iterable[TrialRow]) -> dict[str, Record]:
    signatures = dict.fromkeys(stage.signature for row in rows for stage in row.stages)
    return {record.signature: record for record in store.records(signatures)}


def _confusion(store: Store, row: TrialRow, home: Path) -> Confusion | None:
    """Return what a trial's model takes for what, where its predictions are stored."""
    from stagetree.core.errors import StagetreeError

    examples = store.examples(row.stages[-1].signature) if row.stages else None
    if examples is None:
        return None
    task = _task(home / str(row.number) / ".hydra" / "config.yaml")
    try:
        return task.confusion(examples) if task is not None else None
    except StagetreeError:  # a task that does not score example by example
        return None


def _task(file: Path) -> Any:
    """Return the task of a trial from the configuration it ran with."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from stagetree.pipeline.compose import task_of

    try:
        config = OmegaConf.load(file)
        return task_of(config) if isinstance(config, DictConfig) else None
    except (OSError, ConfigError, OmegaConfBaseException):
        return None


def _space(study: Study) -> dict[str, str]:
    from stagetree.search.difference import settings
    from stagetree.search.parameter import display_names
    from stagetree.search.study import question_of

    question = question_of(study)
    if not question:
        return {}
    swept = {key: found.shown for key, found in settings(question).items() if found.swept}
    return dict(zip(display_names(list(swept)), swept.values(), strict=True))


def _bounds(study: Study) -> dict[str, str]:
    from stagetree.search.study import question_of

    return dict((question_of(study) or {}).get("constraints", {}))
