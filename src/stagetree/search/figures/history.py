"""The history of a search: every trial, and the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.visualization import plot_optimization_history
from plotly import graph_objects as go

from stagetree.search.figures.style import GREEN, STATES, finish, safe
from stagetree.search.figures.view import ChartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

_CAPTION = (
    "Every trial in the order it was started. The line is the best feasible {metric} so far "
    "({direction}d): where it is flat, the search found nothing better."
)
_PRUNED = (
    " Crosses are pruned trials at the last {metric} they reported; they stopped early and are "
    "not comparable with finished ones."
)
_FAILED = " Triangles at the bottom are failed trials, which have no {metric}."
_INFEASIBLE = " Grey trials break a bound."


def draw(view: View) -> list[Figure]:
    """Return a chart an objective.

    Raises:
        ChartError: No trial has a value.
    """
    return [_history(view, place) for place in range(len(view.metrics))]


def _history(view: View, place: int) -> Figure:
    metric, pruned = view.metrics[place], _pruned(view)
    failed = [number for number, row in view.rows.items() if row.state == "failed"]
    if not view.complete and not (pruned and place == 0):
        raise ChartError("no trial is complete yet")
    figure = plot_optimization_history(view.objective(place), target_name=safe(metric))
    _restyle(figure, view)
    caption = _CAPTION.format(metric=metric, direction=view.directions[place])
    if pruned:
        _add(figure, view, "pruned", pruned, [view.rows[number].values[0] for number in pruned])
        caption += _PRUNED.format(metric=metric)
    if failed:
        _add(figure, view, "failed", failed, [0.02] * len(failed))
        figure.data[-1].yaxis = "y2"
        hidden = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
        figure.update_layout(yaxis2=hidden)
        caption += _FAILED.format(metric=metric)
    if any(not view.rows[trial.number].feasible for trial in view.complete):
        caption += _INFEASIBLE
    figure.update_layout(xaxis_title="trial", yaxis_title=safe(metric), showlegend=True)
    name = "history" if place == 0 else f"history-{place + 1}"
    title = "History" if len(view.metrics) == 1 else f"History of {metric}"
    return finish(figure, name, title, caption)


def _pruned(view: View) -> list[int]:
    if len(view.metrics) > 1:
        return []
    return [
        number for number, row in view.rows.items() if row.state == "pruned" and len(row.values)
    ]


def _restyle(figure: go.Figure, view: View) -> None:
    for trace in figure.data:
        if trace.mode == "lines":
            finite = [value if abs(value) < float("inf") else None for value in trace.y]
            trace.update(y=finite, name="best so far", line={"color": GREEN, "width": 2})
            trace.update(line_shape="hv", hovertemplate="best by trial %{x}: %{y}<extra></extra>")
            continue
        state = "infeasible" if trace.name == "Infeasible Trial" else "complete"
        trace.update(name=state, marker={"color": STATES[state], "size": 7, "opacity": 0.75})
        _tell(trace, view, trace.x)
        trace.showlegend = bool(len(trace.x))
    order = sorted(figure.data, key=lambda trace: trace.mode == "lines")
    figure.data = ()
    figure.add_traces(order)


def _add(
    figure: go.Figure, view: View, state: str, numbers: Sequence[int], values: Sequence[float]
) -> None:
    symbol = "x-thin" if state == "pruned" else "triangle-up"
    marker = {"symbol": symbol, "color": STATES[state], "size": 7}
    trace = go.Scatter(
        x=list(numbers),
        y=list(values),
        mode="markers",
        name=state,
        marker={**marker, "line": {"color": STATES[state], "width": 1.5}},
    )
    _tell(trace, view, numbers)
    figure.add_trace(trace)


def _tell(trace: go.Scatter, view: View, numbers: Sequence[int]) -> None:
    trace.text = [view.hovers[number] for number in numbers]
    trace.hovertemplate = "%{text}<extra></extra>"
