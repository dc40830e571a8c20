"""Rungs that span a pipeline: at which moments of which stages a trial is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stagetree.search.stage_shares import Span


@dataclass(frozen=True)
class Rung:
    """A moment at which a trial is judged.

    Attributes:
        index: Place of the stage in the pipeline.
        fraction: How far the stage is, in (0, 1]; 1 is its end.
    """

    index: int
    fraction: float


def resources(least: float, factor: int, skipped: int = 0) -> list[float]:
    """Return the shares of a pipeline after which a rung lies, each ``factor`` times the last.

    >>> resources(0.1, 3), resources(0.1, 3, skipped=1)
    ([0.1, 0.3, 0.9], [0.3, 0.9])
    """
    found: list[float] = []
    share = least * factor**skipped
    while share < 1.0:
        found.append(round(share, 9))
        share *= factor
    return found


def rungs(stages: Sequence[Span], shares: Iterable[float], warm_up: float) -> list[Rung]:
    """Return where rungs at ``shares`` of the pipeline lie, each place once.

    A rung that falls into a stage which does not report the objective, or into the first
    ``warm_up`` of one, lies at the end of the reporting stage before: what a stage has finished
    says more than what the next has barely begun. Without one before, a rung in the warm-up lies
    at its end, and one in a stage that does not report is none.

    Args:
        stages: The pipeline.
        shares: Shares of its cost.
        warm_up: Part of a stage that is not judged.
    """
    found = [rung for share in shares for rung in _place(stages, share, warm_up)]
    return list(dict.fromkeys(found))


def _place(stages: Sequence[Span], share: float, warm_up: float) -> list[Rung]:
    before: Span | None = None
    for stage in stages:
        if share <= stage.end:
            fraction = stage.step(share)
            if stage.reports and (fraction >= warm_up or before is None):
                return [Rung(stage.index, max(fraction, warm_up))]
            break
        if stage.reports:
            before = stage
    return [] if before is None else [Rung(before.index, 1.0)]
