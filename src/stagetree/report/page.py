"""The report of a study: one HTML file that holds everything it shows."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import stagetree
from stagetree.core.trials import TrialRow
from stagetree.report import sections
from stagetree.report.errors import numbers
from stagetree.report.leaderboard import EXTRAS
from stagetree.report.numbers import count, duration, megabytes, score
from stagetree.report.tables import assignments
from stagetree.report.tree_layout import Placed
from stagetree.report.view import StudyView

_QUIET = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_CHARTS = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "img-src data: blob:; font-src data:"
)
"""Charts on WebGL compile their shaders' set-up."""


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, which names its template too, and its title."""

    id: str
    title: str

    @property
    def template(self) -> str:
        """Its template."""
        return f"{self.id}.html"


def page(view: StudyView) -> str:
    """Return the report as one HTML file, the same text for the same study.

    It loads nothing, and a policy in it forbids it to; every string of the study is escaped.

    Args:
        view: The study, in whatever state it is.
    """
    context: dict[str, Any] = {
        "view": view,
        "version": stagetree.__version__,
        "objectives": list(zip(view.metrics, view.directions, strict=True)),
        "figures": [_finite(figure) for figure in sections.figures(view)],
        **sections.verdict_part(view),
        **sections.board_part(view),
        **sections.tree_part(view),
        **sections.cost_part(view),
        **sections.quality_part(view),
        **sections.error_part(view),
        **sections.rerun_part(view),
    }
    charts = bool(view.figures)
    context |= {"policy": _CHARTS if charts else _QUIET, "plotly": _plotly() if charts else ""}
    context["sections"] = _sections(view, context)
    return _environment().get_template("page.html").render(context) + "\n"


def _sections(view: StudyView, context: Mapping[str, Any]) -> list[Section]:
    """Return the parts that have something to say."""
    wanted = {
        "verdict": ("Verdict", True),
        "leaderboard": ("Leaderboard", True),
        "tree": ("Stage tree", True),
        "figures": ("Charts", bool(view.figures or view.left_out)),
        "costs": ("Time and savings", True),
        "quality": ("The best, class by class", context["detail"] is not None),
        "errors": ("Errors", bool(context["errors"])),
        "rerun": ("How to run it again", True),
        "environment": ("Environment", bool(context["environment"])),
    }
    return [Section(name, title) for name, (title, there) in wanted.items() if there]


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stagetree.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = _asset
    environment.filters |= {
        "score": score,
        "duration": duration,
        "assignments": assignments,
        "numbers": numbers,
        "metric": _metric,
        "metric_name": lambda name: EXTRAS.get(name, name),
        "chain": _chain,
        "breakable": _breakable,
        "clip": _clip,
        "cross": _cross,
        "diamond": _diamond,
    }
    return environment


def _asset(name: str) -> Markup:
    """Return a file of ours to stand in the page as it is."""
    place = resources.files("stagetree.report") / "templates" / name
    return Markup(place.read_text(encoding="utf-8"))


def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    code = re.sub(r"</(?=script)", r"<\\/", get_plotlyjs(), flags=re.IGNORECASE)
    return Markup(code)


def _metric(value: float | None, name: str) -> str:
    if name == "bytes":
        return megabytes(value)
    return count(value) if name == "parameters" else score(value)


def _chain(row: TrialRow) -> Markup:
    """Return a trial's stages as chips."""
    chips = [(stage.name, "reused" if stage.reused else "") for stage in row.stages]
    if row.pruned_in:
        chips = [chip for chip in chips if chip[0] != row.pruned_in]
        chips.append((row.pruned_in, "pruned"))
    return Markup("").join(
        Markup('<span class="chip {}">{}</span>').format(kind, name) for name, kind in chips
    )


def _breakable(name: str) -> Markup:
    """Return a heading that may break after dots and underscores."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(name))))


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _cross(place: Placed) -> str:
    x, y, arm = place.x, place.y, 5
    return (
        f"M{x - arm:.1f} {y - arm:.1f}L{x + arm:.1f} {y + arm:.1f}"
        f"M{x + arm:.1f} {y - arm:.1f}L{x - arm:.1f} {y + arm:.1f}"
    )


def _diamond(place: Placed) -> str:
    x, y, arm = place.x, place.y, place.radius + 2
    return (
        f"M{x:.1f} {y - arm:.1f}L{x + arm:.1f} {y:.1f}L{x:.1f} {y + arm:.1f}L{x - arm:.1f} {y:.1f}Z"
    )


def _finite(value: Any) -> Any:
    """Return JSON data in which what is not finite is null, as JSON knows no other word for it."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
