"""All charts of a study, in the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagetree.core.figure import Figure
from stagetree.search.figures import (
    contour,
    deciding,
    fronts,
    history,
    learning,
    parallel,
    slices,
    spread,
    timeline,
)
from stagetree.search.figures.view import ChartError, View, view_of
from stagetree.search.shown import quiet

if TYPE_CHECKING:
    from optuna import Study

    from stagetree.core.importance import Importances

_CHARTS: Sequence[tuple[str, Callable[[View], list[Figure]]]] = (
    ("history", history.draw),
    ("learning curves", learning.draw),
    ("importances", deciding.draw),
    ("importances by stage", deciding.draw_stages),
    ("parallel coordinates", parallel.draw),
    ("contours", contour.draw),
    ("slices", slices.draw),
    ("front", fronts.draw),
    ("distribution", spread.draw),
    ("timeline", timeline.draw),
)


@dataclass(frozen=True)
class Drawn:
    """What a study has to show.

    Attributes:
        figures: The charts, in the order to show them.
        left_out: A line for each chart that cannot be drawn: which, and why.
        importances: What the charts of importances show.
    """

    figures: Sequence[Figure]
    left_out: Sequence[str]
    importances: Sequence[Importances]


def figures(study: Study) -> Drawn:
    """Draw a study; it is only read, and may be searched meanwhile.

    A thousand trials make charts of a few megabytes: contours are drawn on a coarse grid, and of
    learning curves and parallel coordinates a part, which their captions say.

    Args:
        study: The study.
    """
    drawn: list[Figure] = []
    left_out: list[str] = []
    with quiet():
        view = view_of(study)
        for name, draw in _CHARTS:
            try:
                drawn += draw(view)
            except ChartError as error:
                left_out.append(f"{name}: {error}")
    return Drawn(drawn, left_out, view.importances)
