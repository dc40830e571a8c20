"""Tables of trials and stages for the console."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from stagetree.core.numbers import short
from stagetree.pipeline import seeds
from stagetree.report.numbers import count, duration, megabytes, score

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from rich.console import RenderableType

    from stagetree.core.trials import StageRow, TrialRow

WIDE = 240
"""Columns of output that goes to no terminal."""

GONE = "(not here; it is fetched or computed again where a run needs it)"

_STATES = {"complete": 0, "running": 1, "pruned": 2, "failed": 3, "waiting": 4, "rejected": 5}
_STYLES = {
    "complete": "",
    "running": "cyan",
    "pruned": "yellow",
    "failed": "red",
    "waiting": "dim",
    "rejected": "dim",
}


@dataclass(frozen=True)
class Marks:
    """How a stage of a trial ended, in one character, and the sign before a deviation."""

    run: str = "✓"
    reused: str = "↺"
    pruned: str = "✂"
    within: str = "±"

    @property
    def legend(self) -> str:
        """What the marks mean."""
        return f"{self.run} run  {self.reused} reused  {self.pruned} pruned"


@dataclass(frozen=True)
class Layout:
    """How a table of trials saves width.

    Attributes:
        split_words: Headings break at underscores.
        one_column: All hyperparameters share one column.
        pipeline: Name the stages once, below the table, and show marks alone.
    """

    split_words: bool = False
    one_column: bool = False
    pipeline: tuple[str, ...] = ()


UNICODE = Marks()
ASCII = Marks(run="+", reused="=", pruned="x", within="+/-")

_ASCII_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


def marks(encoding: str | None = None) -> Marks:
    """Return marks that an encoding, by default that of standard output, can show."""
    name = encoding or getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        UNICODE.legend.encode(name)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def render(renderable: RenderableType, width: int | None = None) -> str:
    """Return a table or anything else of rich as text, without a newline at the end.

    Args:
        renderable: What to show.
        width: Columns to use; by default those of the terminal, or ``WIDE`` when standard
            output is none. Colours are for terminals only.
    """
    console = Console(file=sys.stdout, width=width or screen_width(), soft_wrap=False)
    with console.capture() as capture:
        console.print(renderable, crop=False, no_wrap=None)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def screen_width() -> int:
    """Return the columns of the terminal, or ``WIDE`` when standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def order(
    rows: Sequence[TrialRow], directions: Sequence[str], front: Container[int] = ()
) -> list[TrialRow]:
    """Return trials best first; then running, pruned (latest cut first), failed and waiting.

    With several objectives the front comes first and the others by number.

    Args:
        rows: The trials.
        directions: ``maximize`` or ``minimize``, one an objective.
        front: Numbers of the trials of the Pareto front.
    """
    sign = -1.0 if directions[0] == "maximize" else 1.0

    def place(row: TrialRow) -> tuple[int, bool, bool, int, float, int]:
        done = len(row.stages) if row.state == "pruned" else 0
        value = sign * row.values[0] if row.values and len(directions) == 1 else float("inf")
        behind = len(directions) > 1 and row.number not in front
        return (_STATES.get(row.state, 9), not row.feasible, behind, -done, value, row.number)

    return sorted(rows, key=place)


def study_table(
    rows: Sequence[TrialRow],
    directions: Sequence[str],
    metrics: Sequence[str],
    front: Container[int] = (),
    width: int | None = None,
) -> Table:
    """Return the trials of a study, best first, pruned and failed ones after.

    Every hyperparameter that varies has a column as long as they fit; else one column holds
    them all. Those that are the same in all trials are named once, below.

    Args:
        rows: The trials.
        directions: ``maximize`` or ``minimize``, one an objective.
        metrics: Name of each objective.
        front: Numbers of the trials of the Pareto front, to mark them when there are several
            objectives.
        width: Columns the table may take; by default those of the terminal.
    """
    ordered = order(rows, directions, front)
    marked = front if len(directions) > 1 else ()
    pipeline = _pipeline(rows)
    layouts = [Layout(), Layout(split_words=True), Layout(split_words=True, pipeline=pipeline)]
    measure = Console(width=10_000)
    for layout in layouts:
        table = _table(ordered, metrics, layout, marked)
        if Measurement.get(measure, measure.options, table).maximum <= (width or screen_width()):
            return table
    return _table(ordered, metrics, Layout(one_column=True, pipeline=pipeline), marked)


def run_table(stages: Sequence[StageRow], metric: str) -> Group:
    """Return a row a stage, and below it where each result lies (never wrapped, never cut).

    Args:
        stages: The stages of one run, in order.
        metric: The metric that matters, e.g. ``f1``.
    """
    table = _empty()
    table.add_column("stage", no_wrap=True)
    for name in (metric, "loss", "params", "MB", "latency\nms", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for stage in stages:
        got = stage.metrics
        table.add_row(
            stage.name if seeds.plain(stage.name) == stage.kind else f"{stage.name} ({stage.kind})",
            score(got.get(metric)),
            score(got.get("loss")),
            count(got.get("parameters")),
            megabytes(got.get("bytes")),
            score(got.get("latency_ms")),
            duration(stage.seconds),
            "reused" if stage.reused else "run",
        )
    longest = max((len(stage.name) for stage in stages), default=0)
    places = "\n".join(f"{stage.name:<{longest}}  {stage.model_dir or GONE}" for stage in stages)
    return Group(table, Text(places, no_wrap=True, overflow="ignore"))


def spread(values: Sequence[float]) -> str:
    """Return an objective's mean over seeds, with its sample standard deviation if there is one.

    Args:
        values: The objective with each seed.
    """
    mean = f"{fmean(values):.4f}"
    if len(values) < 2:
        return mean
    return f"{mean} {marks().within} {stdev(values):.4f} over {len(values)} seeds"


def parameters(rows: Sequence[TrialRow]) -> tuple[list[str], dict[str, object]]:
    """Return the names of parameters that vary, and those that do not with their value."""
    names = list(dict.fromkeys(name for row in rows for name in row.params))
    absent = object()
    fixed: dict[str, object] = {}
    for name in names:
        seen = [row.params.get(name, absent) for row in rows]
        if len(rows) > 1 and all(value == seen[0] for value in seen):
            fixed[name] = seen[0]
    return [name for name in names if name not in fixed], fixed


def padded(values: Sequence[float], length: int) -> list[float | None]:
    """Return so many values, ``None`` for those there are not."""
    return [*values[:length], *[None] * (length - len(values))]


def assignments(params: Mapping[str, object]) -> str:
    """Return hyperparameters as ``name=value`` with short values.

    >>> assignments({"distill.temperature": 2.0, "finetune.epochs": 3})
    'distill.temperature=2 finetune.epochs=3'
    """
    return " ".join(f"{name}={short(value)}" for name, value in params.items())


def _pipeline(rows: Sequence[TrialRow]) -> tuple[str, ...]:
    """Return the stages of all trials when each has a first part of the same ones, else none."""
    runs = [_stage_names(row) for row in rows]
    longest = max(runs, key=len, default=())
    return longest if all(run == longest[: len(run)] for run in runs) else ()


def _stage_names(row: TrialRow) -> tuple[str, ...]:
    names = [stage.name for stage in row.stages]
    cut = row.pruned_in if row.state == "pruned" else None
    return tuple(names if cut is None or names[-1:] == [cut] else [*names, cut])


def _empty() -> Table:
    box = SIMPLE_HEAD if marks() is UNICODE else _ASCII_HEAD
    return Table(box=box, padding=(0, 1, 0, 0), pad_edge=False)


def _table(
    rows: Sequence[TrialRow], metrics: Sequence[str], layout: Layout, front: Container[int]
) -> Table:
    varying, fixed = parameters(rows)
    table = _empty()
    table.caption = _caption(layout, fixed)
    table.caption_justify, table.caption_style = "left", "dim"
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in metrics:
        table.add_column(name, justify="right", no_wrap=True)
    if layout.one_column and varying:
        table.add_column("parameters", overflow="fold", ratio=1)
    else:
        for name in varying:
            table.add_column(_heading(name, layout), justify="right", no_wrap=True)
    table.add_column("stages", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in rows:
        cells: list[str | Text] = [str(row.number), _state(row, front)]
        cells += [score(value) for value in padded(row.values, len(metrics))]
        cells += _parameter_cells(row, varying, layout)
        cells += [_stages(row, layout), duration(row.seconds) if row.seconds else ""]
        table.add_row(*cells, style=_STYLES.get(row.state, ""))
    return table


def _state(row: TrialRow, front: Container[int]) -> str:
    if row.state == "complete" and not row.feasible:
        return "infeasible"
    if row.number in front:
        return "front"
    return row.state if row.copy_of is None else f"{row.state} (as {row.copy_of})"


def _caption(layout: Layout, fixed: Mapping[str, object]) -> Text:
    lines = [marks().legend]
    if layout.pipeline:
        lines[0] += "  stages: " + " ".join(layout.pipeline)
    if fixed:
        lines.append("same in all: " + assignments(fixed))
    return Text("\n".join(lines))


def _heading(name: str, layout: Layout) -> str:
    parts = name.rpartition(".")
    tail = parts[2].replace("_", "_\n") if layout.split_words else parts[2]
    return f"{parts[0]}.\n{tail}" if parts[0] else tail


def _parameter_cells(row: TrialRow, varying: Sequence[str], layout: Layout) -> list[Text]:
    if not layout.one_column:
        return [Text(short(row.params[name]) if name in row.params else "") for name in varying]
    own = {name: row.params[name] for name in varying if name in row.params}
    return [Text(assignments(own), overflow="fold")] if varying else []


def _stages(row: TrialRow, layout: Layout) -> str:
    signs = marks()
    names = _stage_names(row)
    ends = [signs.reused if stage.reused else signs.run for stage in row.stages]
    if row.state == "pruned" and row.pruned_in:  # a stage can be cut by its last evaluation
        ends = [*ends[: len(names) - 1], signs.pruned]
    if layout.pipeline:
        return " ".join(ends)
    return " ".join(f"{name} {end}" for name, end in zip(names, ends, strict=True))
