"""``stagetree plan``: what a line would run, how long and how big; touches nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from hydra.core.global_hydra import GlobalHydra
from rich.table import Table

from stagetree.cli.options import AsJson, Root, directory, show
from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose
from stagetree.pipeline.store import Store

if TYPE_CHECKING:
    from stagetree.search.forecast import Forecast


def plan(
    words: Annotated[list[str] | None, typer.Argument(help="Overrides, as for run.py.")] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Plan a search, as for run.py.")
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Count trials, stage executions and reuse of a line, without running anything.

    For a sampled search the executions are an upper bound. Seconds and bytes are estimated from
    past results of the same kinds; they are null when there are none.
    """
    store = Store(directory(root) / "store")
    line = list(words or ())
    with commandline.explained(line):
        forecast = _forecast(line, store, multirun)
    row = {
        "trials": forecast.trials,
        "stage_executions": sum(forecast.executions.values()),
        "reused": forecast.reused,
        "exact": forecast.exact,
        "executions": dict(forecast.executions),
        **_cost(forecast, store),
    }
    show(row, as_json, _table(row))


def _forecast(words: list[str], store: Store, multirun: bool) -> Forecast:
    from stagetree.search.forecast import Search, count, read_search

    def nodes(point: tuple[str, ...]) -> Iterable[tuple[str, str]]:
        pipeline = compose(commandline.compose_here(point))
        return [(node.stage.kind, node.signature) for node in pipeline.nodes]

    with commandline.composer():
        search = Search((tuple(words),), 1, exact=True)
        if multirun:
            plain = commandline.without_sweeps(words)
            config = commandline.compose_here(plain, with_hydra=True)
            search = read_search(words, config, GlobalHydra.instance().config_loader())
        return count(search, nodes, lambda signature: store.get(signature) is not None)


def _cost(forecast: Forecast, store: Store) -> dict[str, Any]:
    """Estimate time and disk from the mean of past results of each kind."""
    seconds: dict[str, list[float]] = {}
    size: dict[str, list[int]] = {}
    for record in store.records():
        seconds.setdefault(record.kind, []).append(record.seconds)
        size.setdefault(record.kind, []).append(record.bytes)
    if not all(kind in seconds for kind in forecast.executions):
        return {"seconds": None, "bytes": None}
    needed = forecast.executions.items()
    return {
        "seconds": round(sum(n * sum(seconds[k]) / len(seconds[k]) for k, n in needed), 1),
        "bytes": round(sum(n * sum(size[k]) / len(size[k]) for k, n in needed)),
    }


def _table(row: dict[str, Any]) -> Table:
    table = Table("what", "how much", show_header=False)
    most = "" if row["exact"] else "at most "
    table.add_row("trials", str(row["trials"]))
    kinds = ", ".join(f"{count} {kind}" for kind, count in row["executions"].items())
    table.add_row("stage executions", f"{most}{row['stage_executions']}  ({kinds or 'none'})")
    table.add_row("reused", f"{'' if row['exact'] else 'at least '}{row['reused']}")
    unknown = "unknown: nothing of these kinds was computed yet"
    table.add_row("time", unknown if row["seconds"] is None else f"{most}{row['seconds']:.0f} s")
    table.add_row("disk", unknown if row["bytes"] is None else f"{most}{row['bytes'] / 1e6:.0f} MB")
    return table
