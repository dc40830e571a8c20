"""Slices: the objective over each hyperparameter that decides."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from optuna.visualization import plot_slice

from stagetree.search.figures.style import DOTS, GREY, cut, finish, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly import graph_objects as go

    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

MAX_PANELS = 6
_COLUMNS = 3
_TICKS = 42
_CAPTION = (
    "{metric} of the complete trials over each of the hyperparameters{most}, by itself. "
    "A trend, or an upper edge with a clear top, says where good values lie; an edge that "
    "still climbs at the end of its range says: widen the range. Late trials are bright, so that "
    "you see where the search went.{infeasible}"
)


def draw(view: View) -> list[Figure]:
    """Return a chart an objective.

    Raises:
        ChartError: No trial is complete, or no hyperparameter varies.
    """
    return [_slices(view, place) for place in range(len(view.metrics))]


def _slices(view: View, place: int) -> Figure:
    metric = view.metrics[place]
    names = view.important(place, MAX_PANELS)
    figure = plot_slice(view.objective(place), params=names, target_name=safe(metric))
    for trace in figure.data:
        feasible = trace.name == "Feasible Trial"
        trace.marker.update(size=6, opacity=0.8, line={"width": 0})
        trace.hovertemplate = "%{x}<br>%{y}<extra>infeasible</extra>"
        if not feasible:
            trace.marker.update(color=GREY, opacity=0.5)
        else:
            trace.marker.update(
                colorscale=DOTS, colorbar={"thickness": 12, "x": 1.02, "xpad": 4, "title": "trial"}
            )
            trace.hovertemplate = "trial %{marker.color}<br>%{x}<br>%{y}<extra></extra>"
        if len(trace.x) and isinstance(trace.x[0], str):
            trace.x = [text.strip("'") for text in trace.x]
    rows = _wrap(figure, names, safe(metric))
    infeasible = any(not view.rows[trial.number].feasible for trial in view.complete)
    remark = " Grey trials break a bound." if infeasible else ""
    caption = _CAPTION.format(metric=metric, most=view.that_decide_most(place), infeasible=remark)
    name = "slices" if place == 0 else f"slices-{place + 1}"
    title = "Slices" if len(view.metrics) == 1 else f"Slices of {metric}"
    return finish(figure, name, title, caption, 80 + 270 * rows)


def _wrap(figure: go.Figure, names: Sequence[str], metric: str) -> int:
    """Break Optuna's one row of panels into rows of three and return how many there are.

    Optuna has the panels by name; here they stand in the order given.
    """
    rows, columns = -(-len(names) // _COLUMNS), min(len(names), _COLUMNS)
    gap, between = 0.035, 0.24 / rows
    width, height = (1 - gap * (columns - 1)) / columns, (1 - between * (rows - 1)) / rows
    for panel, name in enumerate(sorted(names)):
        row, column = divmod(names.index(name), _COLUMNS)
        suffix = "" if panel == 0 else str(panel + 1)
        left, top = column * (width + gap), 1 - row * (height + between)
        x, y = figure.layout[f"xaxis{suffix}"], figure.layout[f"yaxis{suffix}"]
        x.domain = [left, min(left + width, 1)]
        y.domain = [max(top - height, 0), top]
        y.showticklabels = column == 0
        y.title = metric if column == 0 else None
        if x.categoryarray is not None:
            texts = [text.strip("'") for text in x.categoryarray]
            room = max(_TICKS // len(texts), 6)
            short = [safe(cut(html.unescape(text), room)) for text in texts]
            x.update(categoryarray=texts, tickvals=texts, ticktext=short, tickangle=0)
    return rows
