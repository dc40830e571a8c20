"""What decides: importances of hyperparameters over the pipeline, and stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from stagetree.core.importance import PIPELINE
from stagetree.search.figures.style import GREY, PALETTE, finish, safe
from stagetree.search.figures.view import ChartError
from stagetree.search.importance import stage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stagetree.core.figure import Figure
    from stagetree.core.importance import Importances
    from stagetree.search.figures.view import View

MAX_BARS = 12
_COLUMNS = 3
_PIPELINE = "whole pipeline"
_METHODS = {
    "fANOVA": "the share of the variance of {metric} that a hyperparameter explains by itself "
    "(fANOVA)",
    "PED-ANOVA": "how far the hyperparameter's values in the best tenth of the trials differ from "
    "those in all (PED-ANOVA, as not every trial has every hyperparameter)",
}
_CAPTION = (
    "A bar is {method}, from {trials} different results; the bars of a panel sum to 100 %. "
    "Colours are stages. A long bar says: search here further; a short one: leave it at its "
    "default. It does not say which value is good, see the slices for that."
)
_STAGES = (
    "What decides over {metric} at the end of each stage: its own hyperparameters, or what came "
    "before it. Colours are the stages that the hyperparameters belong to. Trials that share a "
    "stage's result count once, and trials that were pruned later count too."
)


def draw(view: View) -> list[Figure]:
    """Return importances over the pipeline.

    Raises:
        ChartError: They are not known for any objective; says why.
    """
    own = [one for one in view.importances if not one.stage]
    known = [one for one in own if one.shares]
    if not known:
        raise ChartError(own[0].reason)
    titles = [text for one in known for text in (safe(one.metric), f"{safe(one.metric)}, by stage")]
    figure = make_subplots(
        rows=len(known),
        cols=2,
        subplot_titles=titles,
        column_widths=[0.62, 0.38],
        vertical_spacing=0.25 / len(known),
    )
    for row, one in enumerate(known, start=1):
        figure.add_trace(_bars(view, one, MAX_BARS), row=row, col=1)
        figure.add_trace(_stage_bars(view, one.by_stage), row=row, col=2)
    _layout(figure)
    first = known[0]
    method = _METHODS[first.method].format(metric=first.metric)
    caption = _CAPTION.format(method=method, trials=first.trials) + _constant(view, first)
    bars = [min(len(one.shares), MAX_BARS) for one in known]
    height = sum(90 + 26 * max(count, 3) for count in bars)
    return [finish(figure, "importances", "Importances", caption, height)]


def draw_stages(view: View) -> list[Figure]:
    """Return importances for each stage's own metric.

    Raises:
        ChartError: There is one stage, or they are not known for any; says why.
    """
    own = [one for one in view.importances if one.stage]
    if not own:
        raise ChartError("the pipeline has one stage")
    known = [one for one in own if one.shares]
    if not known:
        raise ChartError(own[0].reason)
    columns = min(len(known), _COLUMNS)
    rows = -(-len(known) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[f"at the end of {safe(one.stage)}" for one in known],
        vertical_spacing=0.22 / rows,
        horizontal_spacing=0.16,
    )
    for place, one in enumerate(known):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        figure.add_trace(_bars(view, one, MAX_BARS // 2), **at)
    _layout(figure)
    caption = _STAGES.format(metric=own[0].metric)
    unknown = [f"{one.stage} ({one.reason})" for one in own if not one.shares]
    if unknown:
        caption += f" Not known for {', '.join(unknown)}."
    return [
        finish(figure, "importances-by-stage", "Importances by stage", caption, 60 + 230 * rows)
    ]


def _bars(view: View, one: Importances, most: int) -> go.Bar:
    names = list(one.shares)[:most][::-1]
    return _bar(
        [view.labels[name] for name in names],
        [one.shares[name] for name in names],
        [_color(view, stage_of(name, view.stages)) for name in names],
    )


def _stage_bars(view: View, shares: Mapping[str, float]) -> go.Bar:
    stages = list(shares)[::-1]
    return _bar(
        [_PIPELINE if stage == PIPELINE else safe(stage) for stage in stages],
        [shares[stage] for stage in stages],
        [_color(view, stage) for stage in stages],
    )


def _bar(names: Sequence[str], shares: Sequence[float], colors: Sequence[str]) -> go.Bar:
    return go.Bar(
        x=list(shares),
        y=list(names),
        orientation="h",
        marker={"color": list(colors)},
        text=[f"{share:.0%}" if share >= 0.005 else "<1%" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )


def _color(view: View, stage: str) -> str:
    if stage == PIPELINE:
        return GREY
    return PALETTE[list(view.stages).index(stage) % len(PALETTE)]


def _layout(figure: go.Figure) -> None:
    longest = max(max(trace.x) for trace in figure.data)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.2 * longest], nticks=5)
    figure.update_annotations(font_size=13)
    figure.update_yaxes(type="category", showgrid=False)
    figure.update_layout(showlegend=False, bargap=0.3)


def _constant(view: View, one: Importances) -> str:
    if not one.constant:
        return ""
    names = ", ".join(one.constant)
    return f" Nothing is known of {names}: all trials had the same value."
