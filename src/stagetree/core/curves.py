"""Learning curves as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StageCurve:
    """What a trial reported of the objective's metric in one of its stages.

    Attributes:
        trial: Number of the trial.
        stage: The stage's name, ``@`` and the seed with it where a trial runs several.
        index: The stage's place in the trial's pipeline, from 0.
        signature: Signature of the stage's result; equal ones are one training, not several.
            Empty where it is unknown.
        state: ``complete`` (the stage came to its end), or what became of the trial in it:
            ``pruned``, ``failed`` or ``running``.
        points: Fraction of the stage (0 to 1) and value, by fraction.
    """

    trial: int
    stage: str
    index: int
    signature: str
    state: str
    points: Sequence[tuple[float, float]]
