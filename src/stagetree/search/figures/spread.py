"""How the trials' values spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.visualization import plot_edf

from stagetree.search.figures.style import BLUE, finish, safe
from stagetree.search.figures.view import ChartError

if TYPE_CHECKING:
    from stagetree.core.figure import Figure
    from stagetree.search.figures.view import View

_CAPTION = (
    "The share of complete trials with at most the value below it. A curve that is steep at its "
    "{good} end says that many configurations are about as good as the best, so the choice among "
    "them is free; a long flat {good} end says that the best trial is a rare one. Pruned trials "
    "are not in it."
)


def draw(view: View) -> list[Figure]:
    """Return the distribution of the first objective.

    Raises:
        ChartError: Fewer than two trials are complete.
    """
    if len(view.complete) < 2:
        raise ChartError("it takes two complete trials")
    metric = view.metrics[0]
    figure = plot_edf(view.objective(0), target_name=safe(metric))
    figure.update_traces(line={"color": BLUE, "width": 2, "shape": "hv"}, showlegend=False)
    figure.update_traces(hovertemplate="%{y:.0%} have at most %{x}<extra></extra>")
    figure.update_xaxes(title_text=safe(metric))
    figure.update_yaxes(title_text="share of trials", tickformat=".0%", range=[0, 1.02])
    good = "right" if view.directions[0] == "maximize" else "left"
    title = f"Distribution of {metric}"
    return [finish(figure, "distribution", title, _CAPTION.format(good=good), 340)]
