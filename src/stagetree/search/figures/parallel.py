"""Parallel coordinates: each line a trial, each axis a hyperparameter."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from optuna.visualization import plot_parallel_coordinate
from plotly.colors import sample_colorscale

from stagetree.search import results
from stagetree.search.figures.style import GREY, SCALE, VERMILLION, cut, finish, safe
from stagetree.search.figures.view import ChartError
from stagetree.search.shown import evenly, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial
    from plotly import graph_objects as go

    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

MAX_LINES = 160
"""Trials that are drawn at most; Optuna draws each as a trace of its own."""

MAX_AXES = 9
_TICK = 11
_CAPTION = (
    "Each line is a complete trial: on the left what it reached, then its hyperparameters. {colors}"
    " Where the lines of good trials run together, that value serves; where they spread over the "
    "whole axis, it hardly matters. Trials that lack a hyperparameter pass at None, at the bottom."
)
_SCALED = "Yellow lines are the best trials, dark ones the worst."
_FRONT = "Coloured lines are the trials on the Pareto front, grey ones all others."
_INFEASIBLE = " Dotted lines break a bound."
_THINNED = " Of {total} trials {drawn} are drawn: the best, and others evenly."


def draw(view: View) -> list[Figure]:
    """Return the chart.

    Raises:
        ChartError: Fewer than two trials are complete, or nothing varies among them.
    """
    complete = view.complete
    if len(complete) < 2:
        raise ChartError("it takes two complete trials")
    names = view.important(0, MAX_AXES)
    trials = _chosen(view)
    names = sorted(name for name in names if any(name in trial.params for trial in trials))
    metrics = [safe(metric) for metric in view.metrics]
    study = shown(trials, view.directions, metrics)
    target = metrics[0] if len(metrics) == 1 else "Objective Value"
    figure = plot_parallel_coordinate(study, params=names, target_name=target)
    if len(metrics) == 1:
        _color_by_value(figure, view.directions[0])
    else:
        _color_front(figure, view, trials)
    figure.update_xaxes(ticktext=[*metrics, *(name.replace(".", ".<br>", 1) for name in names)])
    plate = {"bgcolor": "rgba(255,255,255,0.8)", "font": {"size": 10, "color": "#222"}}
    figure.for_each_annotation(
        lambda one: one.update(text=safe(cut(html.unescape(one.text), _TICK)), **plate)
    )
    figure.update_layout(margin={"l": 40, "r": 40, "b": 70})
    caption = _CAPTION.format(colors=_SCALED if len(metrics) == 1 else _FRONT)
    if any(not view.rows[trial.number].feasible for trial in trials):
        caption += _INFEASIBLE
    if len(trials) < len(complete):
        caption += _THINNED.format(total=len(complete), drawn=len(trials))
    return [finish(figure, "parallel", "Parallel coordinates", caption, 460)]


def _chosen(view: View) -> list[FrozenTrial]:
    """Return the trials to draw, the best last, so that they lie on top."""
    sign = 1.0 if view.directions[0] == "maximize" else -1.0
    front = set(_front(view))
    ranked = sorted(
        view.complete,
        key=lambda trial: (
            len(view.metrics) > 1 and trial.number in front,
            view.rows[trial.number].feasible,
            sign * trial.values[0],
        ),
    )
    if len(ranked) <= MAX_LINES:
        return ranked
    half = MAX_LINES // 2
    return [*evenly(ranked[:-half], MAX_LINES - half), *ranked[-half:]]


def _front(view: View) -> list[int]:
    rows = [view.rows[trial.number] for trial in view.complete]
    return [row.number for row in results.front(rows, view.directions)]


def _color_by_value(figure: go.Figure, direction: str) -> None:
    """Give each line the colour of its value, which is its place on the first axis; best on top."""
    lines = [trace for trace in figure.data if trace.x[0] is not None]
    shares = [trace.y[0] if direction == "maximize" else 1.0 - trace.y[0] for trace in lines]
    colors = sample_colorscale(SCALE, [0.93 * share for share in shares])
    for trace, color, share in zip(lines, colors, shares, strict=True):
        trace.update(line={"color": color, "width": 1.0 + share}, opacity=0.2 + 0.7 * share**2)
    rest = [trace for trace in figure.data if trace.x[0] is None]
    for trace in rest:
        trace.line.color = GREY
        if trace.marker.showscale:
            trace.marker.update(colorscale=SCALE, reversescale=direction == "minimize")
    order = sorted(zip(shares, lines, strict=True), key=lambda pair: pair[0])
    figure.data = ()
    figure.add_traces([*(trace for _, trace in order), *rest])


def _color_front(figure: go.Figure, view: View, trials: Sequence[FrozenTrial]) -> None:
    """Colour the lines whose objectives are those of a trial on the front; name both kinds."""
    count = len(view.metrics)
    columns = [[trial.values[place] for trial in trials] for place in range(count)]
    bounds = [(min(column), max(column)) for column in columns]
    front = set(_front(view))
    places = {
        tuple(_place(trial.values[axis], bounds[axis]) for axis in range(count))
        for trial in trials
        if trial.number in front
    }
    for trace in figure.data:
        if trace.x[0] is None:
            trace.visible = False
            continue
        on_front = tuple(round(float(value), 9) for value in trace.y[:count]) in places
        color = VERMILLION if on_front else GREY
        trace.update(line={"color": color, "width": 1.8 if on_front else 1}, opacity=0.35)
        if on_front:
            trace.opacity = 0.9


def _place(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return round((value - low) / (high - low), 9) if high > low else 0.5
