"""Learning curves, one panel a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from stagetree.core.numbers import short
from stagetree.pipeline import seeds
from stagetree.search import results
from stagetree.search.figures.style import GREEN, STATES, finish, safe
from stagetree.search.figures.view import ChartError
from stagetree.search.shown import evenly

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stagetree.core.curves import StageCurve
    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

MAX_POINTS = 10_000
"""Points that are drawn at most, over all stages."""

_COLUMNS = 4
_CAPTION = (
    "How {metric} grew within each stage, over the part of the stage that was done. Trials that "
    "share a stage's result share one curve. Crosses mark where trials were pruned or failed; "
    "{best}point at the end of a curve to see its trial and hyperparameters."
)
_THINNED = (
    " Of {total} different trainings {drawn} are drawn: each stage's best, and others evenly."
)


@dataclass(frozen=True)
class _Training:
    """What trials that share a stage's result have in common."""

    curve: StageCurve
    trials: Sequence[int]


def draw(view: View) -> list[Figure]:
    """Return the learning curves.

    Raises:
        ChartError: No stage has reported.
    """
    if len(view.metrics) > 1:
        raise ChartError("trials with several objectives report no learning curves")
    panels = _panels(view.curves)
    if not panels:
        raise ChartError("no stage has reported a value yet")
    best = results.best(list(view.rows.values()), view.directions[0])
    of_best = best.number if best else None
    room = MAX_POINTS // len(panels)
    kept = {
        stage: _thinned(trainings, room, view.directions[0], of_best)
        for stage, trainings in panels.items()
    }
    figure = _figure(view, kept, of_best)
    mark = "the best trial is green; " if best else ""
    caption = _CAPTION.format(metric=view.metrics[0], best=mark)
    total, drawn = sum(map(len, panels.values())), sum(map(len, kept.values()))
    if drawn < total:
        caption += _THINNED.format(total=total, drawn=drawn)
    height = 60 + 330 * -(-len(kept) // _COLUMNS)
    return [finish(figure, "learning-curves", "Learning curves", caption, height)]


def _figure(view: View, kept: Mapping[str, Sequence[_Training]], best: int | None) -> go.Figure:
    rows, columns = -(-len(kept) // _COLUMNS), min(len(kept), _COLUMNS)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes="all",
        subplot_titles=[safe(stage) for stage in kept],
        horizontal_spacing=0.045,
        vertical_spacing=0.28 / rows,
    )
    said: set[str] = set()
    for place, trainings in enumerate(kept.values()):
        at = {"row": place // _COLUMNS + 1, "col": place % _COLUMNS + 1}
        for trace in _traces(view, trainings, best):
            if trace.showlegend is None:
                trace.showlegend = trace.name not in said
                said.add(trace.name)
            trace.legendgroup = trace.name
            figure.add_trace(trace, **at)
    figure.update_xaxes(range=[0, 1.03], tickformat=".0%", title_text="of the stage")
    figure.update_yaxes(title_text=safe(view.metrics[0]), col=1)
    figure.update_annotations(yshift=4, font_size=13)
    figure.update_layout(legend={"y": -0.3 / rows, "yanchor": "top"})
    return figure


def _panels(curves: Sequence[StageCurve]) -> dict[str, list[_Training]]:
    """Return the different trainings of each stage, the stages in the pipeline's order."""
    order: dict[str, int] = {}
    groups: dict[tuple[str, str], list[StageCurve]] = {}
    for curve in curves:
        stage = seeds.plain(curve.stage)
        order[stage] = max(curve.index, order.get(stage, 0))
        key = curve.signature or f"#{curve.trial} {curve.stage}"
        groups.setdefault((stage, key), []).append(curve)
    panels: dict[str, list[_Training]] = {
        stage: [] for stage in sorted(order, key=order.__getitem__)
    }
    for (stage, _), group in groups.items():
        longest = max(group, key=lambda curve: (curve.state == "complete", len(curve.points)))
        panels[stage].append(_Training(longest, [curve.trial for curve in group]))
    return panels


def _thinned(
    trainings: Sequence[_Training], points: int, direction: str, best: int | None
) -> Sequence[_Training]:
    """Return what there is room for: the best trial's, those that ended best, others evenly."""
    total = sum(len(training.curve.points) for training in trainings)
    if total <= points:
        return trainings
    room = max(len(trainings) * points // total, 4)
    sign = -1.0 if direction == "maximize" else 1.0
    ranked = sorted(
        trainings,
        key=lambda training: (best not in training.trials, sign * training.curve.points[-1][1]),
    )
    half = room // 2
    return [*ranked[:half], *evenly(ranked[half:], room - half)]


def _traces(view: View, trainings: Sequence[_Training], best: int | None) -> list[go.Scatter]:
    traces: list[go.Scatter] = []
    for state in ("complete", "running", "pruned", "failed"):
        own = [training for training in trainings if training.curve.state == state]
        if own:
            opacity = min(max(25 / len(own), 0.25 if state == "complete" else 0.6), 0.8)
            traces += [_lines(own, state, STATES[state], opacity), _ends(view, own, state)]
    of_best = [training for training in trainings if best in training.trials]
    if of_best:
        traces.append(_lines(of_best, "best trial", GREEN, 1.0, width=2.5))
        traces[-1].showlegend = None
    return traces


def _lines(
    trainings: Sequence[_Training], name: str, color: str, opacity: float, width: float = 1.2
) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    for training in trainings:
        x += [fraction for fraction, _ in training.curve.points] + [None]
        y += [value for _, value in training.curve.points] + [None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=name,
        line={"color": color, "width": width},
        opacity=opacity,
        hoverinfo="skip",
        showlegend=False,
    )


def _ends(view: View, trainings: Sequence[_Training], state: str) -> go.Scatter:
    symbol = "x" if state in ("pruned", "failed") else "circle"
    return go.Scatter(
        x=[training.curve.points[-1][0] for training in trainings],
        y=[training.curve.points[-1][1] for training in trainings],
        text=[_told(view, training) for training in trainings],
        mode="markers",
        name=state,
        marker={"color": STATES[state], "symbol": symbol, "size": 5},
        hovertemplate="%{text}<extra></extra>",
    )


def _told(view: View, training: _Training) -> str:
    fraction, value = training.curve.points[-1]
    text = f"{short(value)} at {fraction:.0%}<br>{view.hovers[training.trials[0]]}"
    others = len(training.trials) - 1
    return f"{text}<br>shared with {others} more" if others else text
