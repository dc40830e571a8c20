"""When each trial ran."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from optuna.trial import TrialState
from optuna.visualization import plot_timeline

from stagetree.search.figures.retell import retell
from stagetree.search.figures.style import STATES, finish
from stagetree.search.figures.view import ChartError
from stagetree.search.shown import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

_NAMES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "INFEASIBLE": "infeasible",
}
_CAPTION = (
    "Each bar is a trial from its start to its end, in the first row that was free: there are as "
    "many rows as trials that ran at the same time, in most studies one a worker. Short bars are "
    "trials that were pruned or found their stages in the store; a gap in all rows is a time at "
    "which nothing ran."
)


def draw(view: View) -> list[Figure]:
    """Return the timeline.

    Raises:
        ChartError: No trial has been started.
    """
    started = [
        trial
        for trial in view.trials
        if trial.datetime_start is not None and trial.state != TrialState.WAITING
    ]
    if not started:
        raise ChartError("no trial has been started")
    figure = plot_timeline(shown(started, view.directions))
    for trace in figure.data:
        trace.name = _NAMES[trace.name]
        trace.marker = {"color": STATES[trace.name], "line": {"width": 0}}
    lanes = _lanes(started)
    for trace in figure.data:
        trace.y = [lanes[number] for number in trace.y]
    retell(figure, view.hovers)
    figure.update_layout(barmode="overlay", bargap=0.25)
    figure.update_xaxes(title_text="")
    count = max(lanes.values())
    figure.update_yaxes(title_text="at a time", autorange="reversed", dtick=max(count // 10, 1))
    height = min(160 + 34 * count, 620)
    return [finish(figure, "timeline", "Timeline", _CAPTION, height)]


def _lanes(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Return the first free row for each trial by number; rows count from 1."""
    free: list[datetime.datetime] = []
    lanes: dict[int, int] = {}
    for trial in sorted(trials, key=lambda one: (_start(one), one.number)):
        start = _start(trial)
        lane = next((lane for lane, since in enumerate(free) if since <= start), len(free))
        free[lane : lane + 1] = [trial.datetime_complete or datetime.datetime.max]
        lanes[trial.number] = lane + 1
    return lanes


def _start(trial: FrozenTrial) -> datetime.datetime:
    return trial.datetime_start or datetime.datetime.min
