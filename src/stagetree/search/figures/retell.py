"""What Optuna's charts say when pointed at, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plotly import graph_objects as go

_NUMBER = re.compile(r'"number": (\d+)')


def retell(figure: go.Figure, hovers: Mapping[int, str]) -> None:
    """Say of every point that is a trial what ``hovers`` says of it by its number.

    Optuna's own text is JSON with all of a trial's attributes, megabytes in a large study.
    """
    for trace in figure.data:
        if trace.text is not None and len(trace.text):
            trace.text = [_own(str(text), hovers) for text in trace.text]
            trace.hovertemplate = "%{text}<extra></extra>"


def _own(text: str, hovers: Mapping[int, str]) -> str:
    found = _NUMBER.search(text)
    return hovers[int(found[1])] if found else text
