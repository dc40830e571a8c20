"""A chart as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        name: Its name in addresses and file names: lower case, digits and hyphens.
        title: Its heading.
        caption: How to read it, in a few sentences of plain text.
        plotly: What ``Plotly.newPlot`` takes: ``data`` and ``layout``, as JSON data.
    """

    name: str
    title: str
    caption: str
    plotly: Mapping[str, Any]
