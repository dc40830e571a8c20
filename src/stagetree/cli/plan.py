"""``stagetree plan``: what a line would run, how long and how big; touches nothing."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from rich.table import Table

from stagetree.cli.options import AsJson, Root, show
from stagetree.pipeline import commandline, resources
from stagetree.pipeline.compose import compose
from stagetree.pipeline.cost import Costs, together
from stagetree.pipeline.opening import store_of
from stagetree.pipeline.sizes import Sizes
from stagetree.pipeline.store import Store
from stagetree.report.numbers import duration, megabytes

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from stagetree.search.forecast import Forecast

APP = "run.py"
"""The program whose lines are planned; it is part of what names a study."""


def plan(
    words: Annotated[
        list[str] | None, typer.Argument(help="Overrides, exactly as for run.py.")
    ] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Plan a search, as for run.py.")
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Check a line and count what it would run: trials, stages, reuse, time and disk.

    Put the words of the run.py line here, with -m for a search:

        stagetree plan -m +sweep=demo hydra.sweeper.n_trials=30

    Every fault of the line is reported, as by run.py, with exit code 2. Nothing is written.
    Grid, random and quasi-random searches are counted exactly; of other samplers the random
    first trials are, the rest lies between two bounds. Trials that a study of this name has are
    not counted again, results in the store are reused. A pruner or a budget can only make it
    less. Time and disk are estimated from past results of the same kinds, and unknown when there
    are none; the range beside the time holds four times of five.
    """
    planned = _plan([*(words or ()), *_at(root)], multirun)
    row = _row(planned)
    show(row, as_json, _table(row, planned))


@dataclass(frozen=True)
class _Planned:
    """What is known of a line.

    Attributes:
        study: Name of its study, if it is a search.
        workers: How many trials would run at once.
        devices: Devices that each of them keeps busy.
        forecast: What it would compute.
        costs: What that takes.
        stored: Bytes that the store holds.
        budget: Bytes that it may hold, if there is a limit.
    """

    study: str | None
    workers: int
    devices: int
    forecast: Forecast
    costs: Costs
    stored: int
    budget: float | None


def _at(root: Path | None) -> list[str]:
    """Return the override that moves a line to another root."""
    if root is None:
        return []
    return [f"paths.root={QuotedString(str(root), Quote.single).with_quotes()}"]


def _plan(words: list[str], multirun: bool) -> _Planned:
    """Read, check and count a line as running it would before anything is loaded."""
    from stagetree.search.forecast import forecast, single
    from stagetree.search.preview import preview

    with commandline.explained(words), commandline.composer():
        if not multirun:
            config = commandline.compose_here(words)
            pipeline = compose(config)
            return _planned(config, lambda store: single(pipeline, store.has, store.remembers))
        config = commandline.compose_search(words)
        found = preview(config, GlobalHydra.instance().config_loader(), APP)
        counted = _planned(
            config, lambda store: forecast(found, compose, store.has, store.remembers)
        )
        return dataclasses.replace(counted, study=found.name, workers=found.workers)


def _planned(config: DictConfig, count: Callable[[Store], Forecast]) -> _Planned:
    """Return what is counted on the store of a configuration, and what it costs."""
    store = store_of(config)
    if store.remote is not None:
        store.remote.listed()  # once, instead of a question for each result
    counted = count(store)
    return _Planned(
        study=None,
        workers=1,
        devices=resources.read(config, (), []).devices,
        forecast=counted,
        costs=Costs(itertools.chain(store.records(), store.freed())),
        stored=sum(Sizes(store.root).read().values()),
        budget=None if config.store.budget_gb is None else config.store.budget_gb * 1e9,
    )


def _row(planned: _Planned) -> dict[str, Any]:
    forecast = planned.forecast
    most = _amounts(planned, fewest=False)
    bounded = not (forecast.exact or forecast.may_end_early)
    least = _amounts(planned, fewest=True) if bounded else None
    row = {
        "study": planned.study,
        "trials": forecast.trials,
        "done": forecast.done,
        "stage_executions": most["stage_executions"],
        "reused": forecast.reused[0],
        "exact": forecast.exact,
        "executions": _by_kind(forecast, fewest=False),
        "seconds": most["seconds"],
        "seconds_low": (least or most)["seconds_low"],
        "seconds_high": most["seconds_high"],
        "wall_seconds": most["wall_seconds"],
        "device_seconds": most["device_seconds"],
        "bytes": most["bytes"],
        "stored_bytes": planned.stored,
        "budget_bytes": planned.budget,
    }
    if forecast.exact:
        return row
    return {**row, "min": least, "max": most}


def _by_kind(forecast: Forecast, *, fewest: bool) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for work in forecast.work:
        counts[work.kind] += work.fewest if fewest else work.most
    return {kind: count for kind, count in counts.items() if count}


def _amounts(planned: _Planned, *, fewest: bool) -> dict[str, Any]:
    """Return executions, reuse and their cost; what was never computed has no known cost."""
    forecast = planned.forecast
    counts = [work.fewest if fewest else work.most for work in forecast.work]
    costs = [
        (work.kind, count, planned.costs.mean(work.examples))
        for work, count in zip(forecast.work, counts, strict=True)
        if count
    ]
    known = [(kind, count, cost) for kind, count, cost in costs if cost is not None]
    cost = together(known) if len(known) == len(costs) else None
    return {
        "stage_executions": sum(counts),
        "reused": forecast.reused[0 if fewest else 1],
        "seconds": None if cost is None else round(cost.seconds, 1),
        "seconds_low": None if cost is None else round(cost.low, 1),
        "seconds_high": None if cost is None else round(cost.high, 1),
        "wall_seconds": None if cost is None else round(cost.seconds / planned.workers, 1),
        "device_seconds": None if cost is None else round(cost.seconds * planned.devices, 1),
        "bytes": None if cost is None else round(cost.bytes),
    }


def _table(row: Mapping[str, Any], planned: _Planned) -> Table:
    early = planned.forecast.may_end_early
    most = row.get("max") or row
    least = most if early or "min" not in row else row["min"]

    def between(key: str, shown: Callable[[Any], str]) -> str:
        if most[key] is None:
            return "unknown: nothing of these kinds was computed yet"
        low, high = shown(least[key]), shown(most[key])
        return f"{'at most ' if early else ''}{high}" if low == high else f"{low} to {high}"

    table = Table("what", "how much", show_header=False)
    if planned.study:
        table.add_row("study", f"{planned.study}  ({row['done']} trials done)")
    table.add_row("trials", str(row["trials"]))
    kinds = ", ".join(f"{count} {kind}" for kind, count in row["executions"].items())
    executions = between("stage_executions", str)
    table.add_row("stage executions", f"{executions}  ({kinds})" if kinds else executions)
    table.add_row("reused", between("reused", str))
    table.add_row("work", between("seconds", duration) + _range(row))
    if planned.workers > 1:
        table.add_row(f"with {planned.workers} workers", between("wall_seconds", duration))
    if planned.devices > 1:
        name = f"of {planned.devices} devices a trial"
        table.add_row(name, between("device_seconds", duration))
    table.add_row("disk", between("bytes", lambda size: f"{megabytes(size)} MB"))
    if planned.budget is not None:
        table.add_row("disk budget", _room(planned, most["bytes"]))
    if early:
        table.add_row("", "a pruner or a budget may end trials early")
    return table


def _range(row: Mapping[str, Any]) -> str:
    """Return the range that time lies in, four times of five, if it is worth saying."""
    low, high = row["seconds_low"], row["seconds_high"]
    if low is None or duration(low) == duration(high):
        return ""
    return f"  ({duration(low)} to {duration(high)})"


def _room(planned: _Planned, wanted: float | None) -> str:
    """Say whether what would be stored fits into the budget beside what is."""
    assert planned.budget is not None
    budget, stored = megabytes(planned.budget), megabytes(planned.stored)
    text = f"{budget} MB, {stored} MB are taken"
    if wanted is None or planned.stored + wanted <= planned.budget:
        return text
    return (
        f"{text}: not all of this fits. Results that nothing refers to will be freed on the way, "
        "and computed again where a later trial wants them; raise store.budget_gb to keep them"
    )
