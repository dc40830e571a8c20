"""What a word of ``stagetree compare`` stands for: a run, a trial, a study, or a stored result."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.cli import stored
from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.core.trials import StageRow, TrialRow
from stagetree.pipeline.experiments import NOT_KEPT
from stagetree.pipeline.store import Store
from stagetree.report.compare import Curve, Side, StudyFacts
from stagetree.tracking import record
from stagetree.tracking.flat import leaves

if TYPE_CHECKING:
    from optuna import Study


@dataclass(frozen=True)
class Places:
    """Where subjects are looked for.

    Attributes:
        root: Directory of store and studies.
        url: Database URL of studies that have one.
    """

    root: Path
    url: str | None = None

    @property
    def studies(self) -> Path:
        """Directory of the studies."""
        return self.root / "studies"

    @property
    def store(self) -> Store:
        """The store of stage results."""
        return Store(self.root / "store")


def find(word: str, places: Places) -> Side:
    """Return what a word stands for.

    It is a run's directory (whole, or below ``outputs``), ``STUDY:NUMBER``, ``STUDY/NUMBER``, a
    study's name, or the first digits of a stored signature, whichever fits first.

    Raises:
        ConfigError: It is none of these; names the nearest one.
        StoreError: The digits begin several signatures.
    """
    from stagetree.search.results import list_studies

    names = list_studies(places.studies)
    pair = re.fullmatch(r"(.+)[:/](\d+)", word)
    if pair and (pair[1] in names or places.url):
        return _trial(word, pair[1], int(pair[2]), places)
    for directory in (Path(word), places.root / "outputs" / word):
        if (directory / record.RECORD).is_file():
            return _run(word, record.read(directory))
    if word in names or places.url:
        return _study(word, places)
    if re.fullmatch("[0-9a-f]{4,64}", word):
        return stored.side(word, places.store)
    options = [*names, *(f"{pair[1]}:{pair[2]}" for _ in [0] if pair), *_runs(places.root)]
    raise ConfigError([Fault("subject", _unknown(word, pair, names, options))])


def _unknown(
    word: str, pair: re.Match[str] | None, names: Sequence[str], options: Sequence[str]
) -> str:
    if pair and "/" not in pair[1]:
        return unknown("study", pair[1], names)
    wanted = "a run's directory, STUDY:NUMBER, a study, or the first digits of a signature"
    known = [name for name in options if name != word]
    return f"expected {wanted}; {unknown('subject', word, known[:50])}"


def _runs(root: Path) -> list[str]:
    """Return the latest runs below ``outputs``, as words."""
    home = root / "outputs"
    files = sorted(home.glob(f"*/*/{record.RECORD}"), reverse=True)
    return [str(file.parent.relative_to(home)) for file in files[:20]]


def _study(name: str, places: Places) -> Side:
    """Return the best trial of a study, with the facts of the study."""
    from stagetree.search import results
    from stagetree.search.study import directions_of, question_of

    study = results.open_study(name, places.studies, places.url)
    rows, directions = results.rows(study), directions_of(study)
    if len(directions) > 1:
        message = (
            f"study {name!r} has {len(directions)} objectives and no single best trial; name one "
            f"as {name}:NUMBER, see: stagetree best {name}"
        )
        raise ConfigError([Fault("subject", message)])
    best = results.best(rows, directions[0])
    if best is None:
        message = f"study {name!r} has no complete trial within its bounds yet; name one: {name}:0"
        raise ConfigError([Fault("subject", message)])
    facts = StudyFacts.of(rows, (question_of(study) or {}).get("space", {}))
    return _trial_side(f"{name}:{best.number}", study, best, places, facts)


def _trial(word: str, name: str, number: int, places: Places) -> Side:
    from stagetree.search import results

    study = results.open_study(name, places.studies, places.url)
    rows = results.rows(study)
    if number >= len(rows):
        message = f"expected a trial of study {name!r}, 0 to {len(rows) - 1}, but got {word!r}"
        raise ConfigError([Fault("subject", message)])
    return _trial_side(f"{name}:{number}", study, rows[number], places, None)


def _trial_side(
    word: str, study: Study, row: TrialRow, places: Places, facts: StudyFacts | None
) -> Side:
    """Return a trial as its record tells of it, or what the study knows without one."""
    from stagetree.search.study import metrics_of

    events = record.read(_directory(study, row, places))
    values = dict(zip(metrics_of(study), row.values, strict=False))
    told = _run(word, events) if events else None
    return Side(
        name=word,
        what="study" if facts else "trial",
        status=row.state,
        config=told.config if told else dict(row.params),
        stages=row.stages or (told.stages if told else ()),
        curves=told.curves if told else stored.curves(row.stages, places.store),
        values=values,
        whole=told is not None,
        recorded=told.recorded if told else {},
        study=facts,
    )


def _directory(study: Study, row: TrialRow, places: Places) -> Path:
    """Return where a trial, or the one whose outcome it took over, was run."""
    from stagetree.search.notes import notes_of

    number = row.number if row.copy_of is None else row.copy_of
    noted = notes_of(study.get_trials(deepcopy=False)[number]).get("directory")
    here = places.studies / study.study_name / str(number)
    return Path(noted) if noted and Path(noted).is_dir() else here


def _run(word: str, events: Sequence[Mapping[str, Any]]) -> Side:
    """Return a run as the last attempt in its record tells of it."""
    starts = [at for at, event in enumerate(events) if event["event"] == "run_started"]
    if not starts:
        raise ConfigError([Fault("subject", f"the record of {word!r} does not say what was run")])
    began, told = events[starts[-1]], events[starts[-1] :]
    ended = next((event for event in told if event["event"] == "run_finished"), None)
    config = began["config"]
    shown = {name: section for name, section in config.items() if name not in NOT_KEPT}
    flat = {key.removeprefix("stages."): value for key, value in leaves(shown)}
    summary = ended["summary"] if ended else {}
    return Side(
        name=word,
        what="run",
        status=str(ended["status"]) if ended else "not finished",
        config=flat,
        stages=[_row(event) for event in told if event["event"] == "stage_finished"],
        curves=_told_curves(told),
        values=_values(config, summary),
        recorded=config,
    )


def _values(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, float]:
    metric, value = config.get("objective", {}).get("metric", "value"), summary.get("value")
    names = metric if isinstance(metric, list) else [metric]
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    return {str(name): float(number) for name, number in zip(names, numbers, strict=False)}


def _row(event: Mapping[str, Any]) -> StageRow:
    return StageRow(
        name=event["name"],
        kind=event["kind"],
        signature=event["signature"],
        seconds=event["seconds"],
        reused=event["reused"],
        model_dir=event["model_dir"],
        metrics=_numbers(event["metrics"]),
    )


def _told_curves(events: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    found: dict[str, list[tuple[float, Mapping[str, float]]]] = {}
    for event in events:
        if event["event"] == "evaluated":
            point = (float(event["fraction"]), _numbers(event["metrics"]))
            found.setdefault(event["stage"], []).append(point)
    return dict(found)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
