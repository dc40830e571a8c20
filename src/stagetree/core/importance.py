"""How much each hyperparameter decides, as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PIPELINE = ""
"""Stands for a stage's name where a hyperparameter belongs to none (``seed``, ``stage``)."""


@dataclass(frozen=True)
class Importances:
    """How much each hyperparameter decides over one metric.

    Attributes:
        metric: The metric.
        stage: The stage at whose end it was measured; empty: the end of the pipeline.
        method: ``fANOVA`` (share of the metric's variance) or ``PED-ANOVA`` (how far the best
            tenth differs from all trials); empty where nothing can be said.
        trials: How many different results this rests on.
        shares: Share by displayed name, the largest first; they sum to 1.
        by_stage: Sum of the shares of each stage's hyperparameters, the largest first;
            :data:`PIPELINE` for those of no stage.
        constant: Hyperparameters that had one value in all trials, so that nothing is known.
        reason: Why there are no shares; empty where there are.
    """

    metric: str
    stage: str = ""
    method: str = ""
    trials: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    by_stage: Mapping[str, float] = field(default_factory=dict)
    constant: Sequence[str] = ()
    reason: str = ""
