"""Finished and running trials as plain records, for tables, reports and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StageRow:
    """A stage of a trial: run by it, or reused from the store.

    Attributes:
        name: Its name in the pipeline.
        kind: Its kind.
        signature: Signature of its result.
        seconds: What computing it took, whoever computed it.
        reused: Whether this trial found it in the store.
        model_dir: The directory ``models.load`` opens; empty where the model was freed since.
        metrics: Its final metrics.
    """

    name: str
    kind: str
    signature: str
    seconds: float
    reused: bool
    model_dir: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRow:
    """A trial.

    Attributes:
        number: Its number in the study.
        state: ``complete``, ``pruned``, ``failed``, ``running``, ``waiting``, or ``rejected``
            (never run, as points like it do not fit in memory; takes no place in the study).
        params: Hyperparameters by displayed name.
        values: The objective values; empty unless complete (a pruned trial: its last report).
        stages: Its finished stages, in order.
        seconds: Wall time spent in this trial, reused stages not counted.
        pruned_in: Name of the stage it was pruned in.
        error: Last line of the error that ended it.
        command: A command line that runs the same again.
        copy_of: Number of the trial with the same parameters whose outcome this one took over.
        violations: By how much bounds are broken, as a share of each; only broken ones.
    """

    number: int
    state: str
    params: Mapping[str, object]
    values: Sequence[float] = ()
    stages: Sequence[StageRow] = ()
    seconds: float = 0.0
    pruned_in: str | None = None
    error: str | None = None
    command: str = ""
    copy_of: int | None = None
    violations: Mapping[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether no bound is broken."""
        return not self.violations
