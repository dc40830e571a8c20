"""Contours over the pairs of hyperparameters that decide most."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.visualization import plot_contour

from stagetree.core.numbers import short
from stagetree.search.figures.style import GREY, SCALE, finish, safe
from stagetree.search.figures.view import ChartError, valued
from stagetree.search.shown import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial
    from plotly import graph_objects as go

    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

IMPORTANT = 3
"""Hyperparameters whose pairs are drawn."""

CELLS = 24
"""Places along an axis that values are rounded to at most."""

_ENOUGH = 4
_CAPTION = (
    "{metric} over {x} and {y}, two of the hyperparameters{most}, between the complete "
    "trials (dots; grey: a bound is broken). Bright is better. The surface only joins the trials: "
    "where there are none, it is a guess, and all other hyperparameters vary beneath it."
)
_BEST = " Where several trials lie together it shows the best of them."


def draw(view: View) -> list[Figure]:
    """Return a chart for each pair that enough trials have in common.

    Raises:
        ChartError: There is no such pair.
    """
    important = view.important(0, IMPORTANT)
    if len(important) < 2:
        raise ChartError("it takes two hyperparameters that vary")
    pairs = [sorted(pair) for pair in itertools.combinations(important, 2)]
    drawn = [(pair, _having(view, pair)) for pair in pairs]
    drawn = [(pair, trials) for pair, trials in drawn if _enough(pair, trials)]
    if not drawn:
        raise ChartError(f"it takes {_ENOUGH} complete trials with two varying hyperparameters")
    return [
        _contour(view, pair, trials, number) for number, (pair, trials) in enumerate(drawn, start=1)
    ]


def _having(view: View, pair: Sequence[str]) -> list[FrozenTrial]:
    return [trial for trial in view.complete if all(name in trial.params for name in pair)]


def _enough(pair: Sequence[str], trials: Sequence[FrozenTrial]) -> bool:
    varied = all(len({trial.params[name] for trial in trials}) > 1 for name in pair)
    return varied and len(trials) >= _ENOUGH


def _contour(view: View, pair: Sequence[str], trials: Sequence[FrozenTrial], number: int) -> Figure:
    metric = view.metrics[0]
    placed = [valued(trial, [trial.values[0]]) for trial in trials]
    cells = min(max(int(0.6 * math.sqrt(len(trials))), 8), CELLS)
    for name in pair:
        _round(name, placed, cells)
    study = shown(placed, view.directions[:1])
    figure = plot_contour(study, params=list(pair), target_name=safe(metric))
    figure.data[0].update(colorscale=SCALE, reversescale=view.directions[0] == "minimize")
    figure.data[0].update(line={"width": 0.5}, ncontours=12, hoverinfo="skip")
    _place(figure, view, pair, trials)
    names = {label: name for name, label in view.labels.items()}
    x, y = (names[label] for label in pair)
    caption = _CAPTION.format(metric=metric, x=x, y=y, most=view.that_decide_most(0)) + _BEST
    title = f"Contour of {x} and {y}"
    return finish(figure, f"contour-{number}", title, caption, 460)


def _round(name: str, trials: Sequence[FrozenTrial], cells: int) -> None:
    """Move values to the nearest of few places: the surface is a matrix over all of them."""
    kind = trials[0].distributions[name]
    values = [trial.params[name] for trial in trials]
    if not isinstance(kind, FloatDistribution | IntDistribution) or len(set(values)) <= CELLS // 2:
        return
    places = _places(kind, min(values), max(values), cells)
    scale = np.log(places) if kind.log else places
    for trial in trials:
        value = trial.params[name]
        at = math.log(value) if kind.log else value
        trial.params[name] = float(places[int(np.abs(scale - at).argmin())])


def _places(kind: BaseDistribution, low: float, high: float, cells: int) -> np.ndarray:
    log = isinstance(kind, FloatDistribution | IntDistribution) and kind.log
    return np.geomspace(low, high, cells) if log else np.linspace(low, high, cells)


def _place(
    figure: go.Figure, view: View, pair: Sequence[str], trials: Sequence[FrozenTrial]
) -> None:
    """Put the dots where the trials are, and say which they are."""
    for trace, feasible in zip(figure.data[1:], (True, False), strict=False):
        own = [trial for trial in trials if view.rows[trial.number].feasible == feasible]
        x, y = pair
        trace.x = [trial.params[x] for trial in own]
        trace.y = [trial.params[y] for trial in own]
        trace.text = [f"trial {trial.number}: {short(trial.values[0])}" for trial in own]
        trace.hovertemplate = "%{text}<br>%{x}<br>%{y}<extra></extra>"
        edge = {"width": 0.8, "color": "white"}
        trace.marker = {"size": 5, "color": "black" if feasible else GREY, "line": edge}
