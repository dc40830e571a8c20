"""A trial written out as an experiment: the file, its heading, and its row among the others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, stdev

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core import atomic, confirmations
from stagetree.core.errors import ConfigError, Fault, StagetreeError, nearest
from stagetree.core.trials import TrialRow
from stagetree.pipeline import commandline, experiments
from stagetree.pipeline.expected import line
from stagetree.pipeline.experiments import Experiment
from stagetree.report.numbers import duration, score

TABLE = "README.md"
"""The file beside the experiments that lists them."""

HEADING = (
    "| experiment | command | commit | data | score | seeds | cost |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Origin:
    """Where an experiment comes from.

    Attributes:
        study: Name of the study.
        directory: Its directory.
        row: The trial.
        metrics: Names of the objectives.
        ended: When the trial ended.
    """

    study: str
    directory: Path
    row: TrialRow
    metrics: Sequence[str]
    ended: datetime | None


def check(path: Path, *, force: bool) -> None:
    """Check that an experiment can be written.

    Raises:
        ConfigError: It has no name to compose it by, no directory, or is there already.
    """
    faults: list[Fault] = []
    if path.suffix != ".yaml" or not re.fullmatch(r"\w[\w.-]*", path.stem):
        message = f"expected a file NAME.yaml, for +experiment=NAME, but got {str(path)!r}"
        faults.append(Fault("--export", message))
    if not path.parent.is_dir():
        faults.append(Fault("--export", _no_directory(path.parent)))
    elif path.exists() and not force:
        faults.append(Fault("--export", f"{path} is there already; --force replaces it"))
    if faults:
        raise ConfigError(faults)


def export(origin: Origin, path: Path) -> None:
    """Write a trial as an experiment, and its row into the table beside it.

    Raises:
        ConfigError: Its line cannot be made an experiment, or composes to something else today
            than what ran.
    """
    with commandline.composer():
        experiment = experiments.from_command(origin.row.command)
    _compare(origin.row, experiments.signatures(experiment.pipeline))
    commit = _commit(origin.row)
    atomic.write_text(path, experiment.text(_comments(origin, experiment, path.stem, commit)))
    _list(path.with_name(TABLE), path.stem, _cells(origin, experiment, path.stem, commit))


def _no_directory(wanted: Path) -> str:
    """Say which part of a path is not there, with the nearest name that is."""
    missing = wanted
    while not missing.parent.is_dir():
        missing = missing.parent
    there = [entry.name for entry in missing.parent.iterdir() if entry.is_dir()]
    close = nearest(missing.name, there)
    hint = f" Did you mean {str(missing.with_name(close))!r}?" if close else ""
    return f"expected an existing directory but there is no {str(missing)!r}.{hint}"


def _compare(row: TrialRow, composed: Mapping[str, str]) -> None:
    """Check that a trial's line still composes to the stages that ran.

    Raises:
        ConfigError: With every stage that it does not.
    """
    ran = {stage.name: stage.signature for stage in row.stages}
    faults = [
        Fault(
            f"stages.{name}",
            f"trial {row.number} ran {ran.get(name, 'no such stage')[:12]}, but its line composes "
            f"to {composed.get(name, 'no such stage')[:12]} now: code, data, defaults or numerics "
            "have changed since, so the score would be another. "
            f"Run it again and export that: {row.command}",
        )
        for name in dict.fromkeys([*ran, *composed])
        if ran.get(name) != composed.get(name)
    ]
    if faults:
        raise ConfigError(faults)


def _comments(origin: Origin, experiment: Experiment, name: str, commit: str | None) -> list[str]:
    row, pipeline = origin.row, experiment.pipeline
    values = ", ".join(
        f"{metric} {value!r}" for metric, value in zip(origin.metrics, row.values, strict=False)
    )
    ended = f", {origin.ended:%Y-%m-%d}" if origin.ended else ""
    search = search_line(origin.directory)
    expected = line(dict(zip(origin.metrics, row.values, strict=False)))
    stages = [f"  {node.name:<12}  {node.signature}" for node in pipeline.nodes]
    return [
        f"Trial {row.number} of study {origin.study}: {values}{ended}.",
        *([f"Found by:  {search}"] if search else []),
        f"Run again: python run.py +experiment={name}",
        expected,
        f"Commit:    {commit or 'unknown'}",
        f"Data:      {_data(experiment)}, fingerprint {pipeline.data_fingerprint[:12]}",
        f"Seeds:     {_seeds(experiment)}",
        "Stages, by signature:",
        *stages,
    ]


def _cells(origin: Origin, experiment: Experiment, name: str, commit: str | None) -> list[str]:
    short = experiment.groups.get("debug")
    scores, seeds = _scores(origin, experiment)
    return [
        f"[{name}]({name}.yaml)",
        f"`python run.py +experiment={name}`",
        (commit or "unknown")[:12] + ("-dirty" if (commit or "").endswith("-dirty") else ""),
        _data(experiment),
        f"{scores} (validation{', debug=' + str(short) if short else ''})",
        seeds,
        duration(sum(stage.seconds for stage in origin.row.stages)),
    ]


def _scores(origin: Origin, experiment: Experiment) -> tuple[str, str]:
    """Return the objectives, as mean and sample standard deviation over seeds, and the seeds.

    Seeds that ``stagetree confirm`` ran are counted if they are more than the trial's own.
    """
    confirmed = confirmation(origin.directory, origin.row.number, origin.metrics[0])
    if confirmed is not None and len(confirmed[0]) > len(experiment.pipeline.seeds):
        values, seeds = confirmed
        shown = ", ".join(map(str, seeds))
        return f"{origin.metrics[0]} {_spread(values)}", f"{shown} (confirmed)"
    by_seed = _by_seed(origin.row, experiment)
    columns = zip(*by_seed, strict=True) if by_seed else ((value,) for value in origin.row.values)
    pairs = zip(origin.metrics, columns, strict=False)
    return ", ".join(f"{name} {_spread(values)}" for name, values in pairs), _seeds(experiment)


def _by_seed(row: TrialRow, experiment: Experiment) -> list[tuple[float, ...]]:
    """Return the objectives with each of several seeds; none where there is one."""
    seeds = experiment.pipeline.seeds
    length = len(row.stages) // max(1, len(seeds))
    parts = [row.stages[length * place : length * (place + 1)] for place in range(len(seeds))]
    return [experiment.pipeline.objective.values(part) for part in parts]


def _spread(values: Sequence[float]) -> str:
    mean = score(fmean(values))
    return mean if len(values) < 2 else f"{mean} ± {score(stdev(values))}"


def confirmation(directory: Path, number: int, metric: str) -> tuple[list[float], list[int]] | None:
    """Return a trial's scores and seeds from the newest record of ``stagetree confirm``.

    ``None`` where it was not confirmed by this metric, or the record is not understood.
    """
    try:
        last = [
            (confirmed["seeds"], one["values"])
            for confirmed in confirmations.read(directory)
            for one in confirmed["candidates"]
            if one["trial"] == number and confirmed["metric"] == metric and one["values"]
        ][-1]
        seeds, values = [int(seed) for seed in last[0]], [float(value) for value in last[1]]
    except (StagetreeError, ValueError, LookupError, TypeError):
        return None
    return (values, seeds) if len(values) == len(seeds) else None


def _seeds(experiment: Experiment) -> str:
    seeds = experiment.pipeline.seeds or (experiment.pipeline.seed,)
    return ", ".join(map(str, seeds))


def _data(experiment: Experiment) -> str:
    limit = experiment.pipeline.data.max_train
    name = str(experiment.groups.get("data", experiment.pipeline.data.kind))
    return f"{name}, {limit} training examples" if limit else name


def _commit(row: TrialRow) -> str | None:
    """Return the commit that the trial's last stage was computed with, if it is on record."""
    file = Path(row.stages[-1].model_dir).parent / "record.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["environment"].get("commit")
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return str(found) if found else None


def search_line(directory: Path) -> str | None:
    """Return the line that started the study, from what the sweeper saved of it."""
    try:
        given = OmegaConf.load(directory / "multirun.yaml").hydra.overrides
        words = [*map(str, given.hydra), *map(str, given.task)]
    except (OSError, OmegaConfBaseException):
        return None
    return experiments.search_line(words)


def _list(table: Path, name: str, cells: Sequence[str]) -> None:
    """Put a row into the table of experiments, in place of an earlier one of this name."""
    row = f"| {' | '.join(cells)} |"
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else ["# Experiments"]
    if HEADING[0] not in lines:
        lines += ["", *HEADING]
    begin = lines.index(HEADING[0]) + len(HEADING)
    end = begin
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    rows = [line for line in lines[begin:end] if not line.startswith(f"| [{name}](")]
    places = [line.startswith(f"| [{name}](") for line in lines[begin:end]]
    rows.insert(places.index(True) if True in places else len(rows), row)
    atomic.write_text(table, "\n".join([*lines[:begin], *rows, *lines[end:]]) + "\n")
