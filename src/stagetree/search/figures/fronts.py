"""Fronts: what has to be given up for what."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from optuna.visualization import plot_pareto_front
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from stagetree.pipeline import seeds
from stagetree.search import results
from stagetree.search.figures.retell import retell
from stagetree.search.figures.style import BLUE, GREY, VERMILLION, finish, safe
from stagetree.search.figures.view import ChartError, valued
from stagetree.search.shown import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

COSTS = {"latency_ms": ("latency (ms)", 1.0), "bytes": ("size (MB)", 1e-6)}
"""Metrics of a last stage that a score is weighed against: what to call them, and in what unit."""

_CAPTION = (
    "Each point is a complete trial. On the front (red) nothing else is better in every one of "
    "{metrics}; all others are beaten by some trial on it. Choose from the front, by how "
    "much {first} the rest is worth to you."
)
_PANELS = " The front is one of all {count} together, so it need not look like one in each panel."
_MEASURED = " Size and latency are those measured after the last stage."


def draw(view: View) -> list[Figure]:
    """Return the front of the objectives, or of score, latency and size where there is one.

    Raises:
        ChartError: There is nothing to weigh against each other.
    """
    if not view.complete:
        raise ChartError("no trial is complete yet")
    if len(view.metrics) > 1:
        points = {trial.number: tuple(trial.values) for trial in view.complete}
        return [_front(view, points, view.metrics, view.directions, "")]
    axes = _costs(view)
    names = [view.metrics[0], *(COSTS[name][0] for name in axes)]
    points = {
        trial.number: (trial.values[0], *(measured[name] for name in axes))
        for trial in view.complete
        if all(name in (measured := _measured(view, trial.number)) for name in axes)
    }
    directions = [view.directions[0], *("minimize" for _ in axes)]
    return [_front(view, points, names, directions, _MEASURED)]


def _costs(view: View) -> list[str]:
    """Return what was measured of the trials' results, and differs."""
    measured = [_measured(view, trial.number) for trial in view.complete]
    names = [name for name in COSTS if name != view.metrics[0]]
    names = [name for name in names if any(name in one for one in measured)]
    if not names:
        raise ChartError("no trial has recorded latency or size")
    names = [name for name in names if len({one[name] for one in measured if name in one}) > 1]
    if not names:
        raise ChartError("all results have the same size and latency")
    return names


def _measured(view: View, number: int) -> dict[str, float]:
    stages = seeds.averaged(view.rows[number].stages)
    metrics = stages[-1].metrics if stages else {}
    return {name: metrics[name] * unit for name, (_, unit) in COSTS.items() if name in metrics}


def _front(
    view: View,
    points: Mapping[int, Sequence[float]],
    names: Sequence[str],
    directions: Sequence[str],
    remark: str,
) -> Figure:
    if len(names) == 2:
        figure = _optunas(view, points, names, directions)
    else:
        figure = _panels(view, points, names, directions)
    metrics = f"{', '.join(names[:-1])} and {names[-1]}"
    caption = _CAPTION.format(metrics=metrics, first=names[0])
    caption += _PANELS.format(count=len(names)) if len(names) > 2 else ""
    return finish(figure, "front", f"Front of {metrics}", caption + remark, 440)


def _optunas(
    view: View,
    points: Mapping[int, Sequence[float]],
    names: Sequence[str],
    directions: Sequence[str],
) -> go.Figure:
    """Return Optuna's chart, the second metric along and the first one up."""
    trials = [
        valued(trial, points[trial.number]) for trial in view.complete if trial.number in points
    ]
    figure = plot_pareto_front(
        shown(trials, directions),
        targets=lambda trial: [trial.values[1], trial.values[0]],
        target_names=[safe(names[1]), safe(names[0])],
    )
    for trace in figure.data:
        kind = str(trace.hovertemplate)
        name = "on the front" if "<extra>Best" in kind else "dominated"
        _mark(trace, "infeasible" if "<extra>Infeasible" in kind else name)
    retell(figure, view.hovers)
    return figure


def _panels(
    view: View,
    points: Mapping[int, Sequence[float]],
    names: Sequence[str],
    directions: Sequence[str],
) -> go.Figure:
    """Return a panel for each further metric along, the first one up."""
    groups = _groups(view, points, directions)
    figure = make_subplots(rows=1, cols=len(names) - 1, shared_yaxes=True, horizontal_spacing=0.03)
    for column in range(1, len(names)):
        for name, numbers in groups.items():
            trace = go.Scatter(
                x=[points[number][column] for number in numbers],
                y=[points[number][0] for number in numbers],
                text=[view.hovers[number] for number in numbers],
                mode="markers",
                hovertemplate="%{x}<br>%{text}<extra></extra>",
                legendgroup=name,
            )
            _mark(trace, name)
            trace.showlegend = column == 1 and bool(numbers)
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(title_text=safe(names[column]), col=column)
    figure.update_yaxes(title_text=safe(names[0]), col=1)
    return figure


def _groups(
    view: View, points: Mapping[int, Sequence[float]], directions: Sequence[str]
) -> dict[str, list[int]]:
    rows = [
        dataclasses.replace(view.rows[number], values=values) for number, values in points.items()
    ]
    front = {row.number for row in results.front(rows, directions)}
    feasible = [row.number for row in rows if row.feasible]
    return {
        "infeasible": [row.number for row in rows if not row.feasible],
        "dominated": [number for number in feasible if number not in front],
        "on the front": [number for number in feasible if number in front],
    }


def _mark(trace: go.Scatter, name: str) -> None:
    color = {"on the front": VERMILLION, "dominated": BLUE, "infeasible": GREY}[name]
    best = name == "on the front"
    marker = {"color": color, "size": 9 if best else 6, "opacity": 1.0 if best else 0.65}
    trace.marker = marker
    trace.update(name=name, showlegend=bool(len(trace.x)))
