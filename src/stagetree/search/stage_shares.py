"""What share of its pipeline's cost each stage of a trial is, by what the study has seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from stagetree.search.notes import COPY_OF, notes_of, stages_done
from stagetree.search.stage_pruner import described, identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optuna.trial import FrozenTrial

REFERENCES = 5
"""So many complete trials tell what stages cost: the first ones, so that it is soon settled."""


@dataclass(frozen=True)
class Span:
    """Where a stage lies on its pipeline's cost, 0 being its beginning and 1 its end.

    Attributes:
        index: The stage's place in the pipeline.
        name: Its name.
        start: Share of the cost that is done when it begins.
        end: Share that is done when it ends.
        reports: Whether it reports the objective.
    """

    index: int
    name: str
    start: float
    end: float
    reports: bool

    def step(self, resource: float) -> float:
        """Return what part of the stage is over when ``resource`` of the pipeline is."""
        width = self.end - self.start
        return round((resource - self.start) / width, 6) if width > 0 else 1.0


def spans(
    trials: Iterable[FrozenTrial], like: FrozenTrial, costs: Mapping[str, float] | None = None
) -> list[Span]:
    """Return the stages that a trial has run and is expected to run; empty when nobody knows.

    That is what the first :data:`REFERENCES` complete trials ran that have its stages so far. What
    a stage costs is what computing it took, reused or not. Where one noted no seconds all its
    stages are taken for equal. Before any such trial has completed nothing is known.

    Args:
        trials: The study's trials, by number.
        like: The trial.
        costs: What stages cost, by name, in any unit; what is not named costs nothing. Without
            it, what they were seen to cost.
    """
    seen = _references(trials, like)
    if not seen:
        return []
    names = Counter(tuple(name for name, _ in stages) for _, stages in seen).most_common(1)[0][0]
    chosen = [
        (trial, stages) for trial, stages in seen if tuple(name for name, _ in stages) == names
    ]
    ends = [
        fmean(column)
        for column in zip(*(_ends(stages, costs) for _, stages in chosen), strict=True)
    ]
    reporting = {index for trial, _ in chosen for index in described(trial)}
    return [
        Span(index, name, ends[index - 1] if index else 0.0, ends[index], index in reporting)
        for index, name in enumerate(names)
    ]


def _references(
    trials: Iterable[FrozenTrial], like: FrozenTrial
) -> list[tuple[FrozenTrial, list[tuple[str, float]]]]:
    """Return the trials to go by, with name and seconds of their stages."""
    so_far = described(like)
    found: list[tuple[FrozenTrial, list[tuple[str, float]]]] = []
    for trial in trials:
        if trial.state != TrialState.COMPLETE or COPY_OF in notes_of(trial):
            continue
        stages = _stages(trial)
        alike = all(
            index < len(stages) and stages[index][0] == name for index, (name, _) in so_far.items()
        )
        if alike and stages:
            found.append((trial, stages))
            if len(found) == REFERENCES:
                break
    return found


def _stages(trial: FrozenTrial) -> list[tuple[str, float]]:
    """Return name and seconds of a trial's stages, of those it reported in when it noted none."""
    noted = stages_done(trial)
    if noted:
        return [(str(stage["name"]), float(stage.get("seconds") or 0.0)) for stage in noted]
    last = max(described(trial), default=-1)
    return [(identity(trial, index)[0], 0.0) for index in range(last + 1)]


def _ends(
    stages: Sequence[tuple[str, float]], costs: Mapping[str, float] | None
) -> Sequence[float]:
    """Return the share of the whole cost that is done at each stage's end."""
    each = [seconds if costs is None else float(costs.get(name, 0.0)) for name, seconds in stages]
    each = each if sum(each) > 0 else [1.0] * len(each)
    whole = sum(each)
    return [done / whole for done in accumulate(each)]
