"""One look for all charts: readable on light and dark ground, on screen and on paper."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING, Any

from plotly import graph_objects as go
from plotly.colors import sample_colorscale

from stagetree.core.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BLUE, ORANGE, GREEN, VERMILLION = "#1F86C8", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#8C8C8C"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW)
"""Okabe and Ito's colours, which colour-blind people tell apart; blue lighter, for dark ground."""

STATES = {
    "complete": BLUE,
    "pruned": ORANGE,
    "failed": VERMILLION,
    "running": SKY,
    "infeasible": GREY,
}
"""Colour by state of a trial."""

SCALE = "Viridis"
DOTS = sample_colorscale(SCALE, [0.25, 0.4, 0.55, 0.7, 0.85, 0.97])
"""The part of the scale whose ends show on light and on dark ground, for single dots."""

LONGEST = 28
"""Characters of a name or choice that an axis has room for."""

_INK = "#767676"
_LINES = "rgba(128,128,128,0.22)"
_DIGITS = 6


def _axis() -> dict[str, Any]:
    return {
        "automargin": True,
        "exponentformat": "e",
        "gridcolor": _LINES,
        "linecolor": _LINES,
        "zerolinecolor": _LINES,
        "title": {"standoff": 8},
    }


def _template() -> go.layout.Template:
    clear = "rgba(0,0,0,0)"
    layout = go.Layout(
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        font={"family": "system-ui, sans-serif", "size": 12, "color": _INK},
        colorway=list(PALETTE),
        xaxis=_axis(),
        yaxis=_axis(),
        scene={
            axis: {"gridcolor": _LINES, "backgroundcolor": clear, "zerolinecolor": _LINES}
            for axis in ("xaxis", "yaxis", "zaxis")
        },
        margin={"l": 60, "r": 24, "t": 44, "b": 52},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"align": "left", "font": {"size": 11}},
        hovermode="closest",
        modebar={"bgcolor": clear, "color": _INK, "activecolor": BLUE},
    )
    return go.layout.Template(layout=layout)


def finish(figure: go.Figure, name: str, title: str, caption: str, height: int = 420) -> Figure:
    """Return a chart in the common look as plain data, its numbers with six digits.

    Args:
        figure: What Plotly or Optuna made.
        name: Its name in addresses.
        title: Its heading, which the chart itself does not repeat.
        caption: How to read it.
        height: In pixels; the width is that of the page.
    """
    figure.update_layout(
        template=_template(),
        title=None,
        width=None,
        autosize=True,
        height=height,
        plot_bgcolor=None,
    )
    return Figure(name, title, caption, _rounded(json.loads(figure.to_json(validate=False))))


def _rounded(node: Any) -> Any:
    if isinstance(node, float):
        return float(f"{node:.{_DIGITS}g}") if math.isfinite(node) else None
    if isinstance(node, list):
        return [_rounded(item) for item in node]
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items()}
    return node


def safe(text: str) -> str:
    """Return text that Plotly shows as it is: it takes some HTML tags for markup."""
    return html.escape(text, quote=False)


def cut(text: str, longest: int = LONGEST) -> str:
    """Return a text cut in its middle where it is too long.

    >>> cut("warmup_stable_decay", 11)
    'warmu…decay'
    """
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[-half:]}"


def labels(texts: Iterable[str]) -> Mapping[str, str]:
    """Return what to show for each text: cut and safe, and no two alike."""
    shown: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        label, more = safe(cut(text)), 2
        while label in shown.values():
            label, more = safe(f"{cut(text, LONGEST - 3)} {more}"), more + 1
        shown[text] = label
    return shown
