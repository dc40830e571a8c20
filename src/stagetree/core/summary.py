"""What a finished search comes to, as plain data for trackers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stagetree.core.trials import TrialRow


@dataclass(frozen=True)
class StudySummary:
    """A study at the end of a search.

    Attributes:
        name: Name of the study.
        directory: Its directory.
        config: The configuration that its trials vary, as plain nested mappings.
        metrics: Name of each objective.
        directions: ``maximize`` or ``minimize``, one an objective.
        rows: Its trials, by number.
        front: The trials that no other one beats; with one objective the best alone.
        importances: Works out the share of each hyperparameter in the differences of the first
            objective; it takes a while, and returns nothing where there are too few trials.
        command: A command line that goes on with the search.
    """

    name: str
    directory: Path
    config: Mapping[str, object]
    metrics: Sequence[str]
    directions: Sequence[str]
    rows: Sequence[TrialRow]
    front: Sequence[TrialRow] = ()
    importances: Callable[[], Mapping[str, float]] = field(default=dict, compare=False)
    command: str = ""

    @property
    def best(self) -> TrialRow | None:
        """The best trial by the first objective; of a front the one that is best in it."""
        sign = -1.0 if self.directions[0] == "maximize" else 1.0
        return min(self.front, key=lambda row: (sign * row.values[0], row.number), default=None)

    @property
    def spent(self) -> float:
        """Seconds of wall time that the trials took, over all workers."""
        return sum(row.seconds for row in self.rows)

    @property
    def saved(self) -> float:
        """Seconds not spent again: what the reused results took when they were computed."""
        stages = [stage for row in self.rows for stage in row.stages]
        return sum(stage.seconds for stage in stages if stage.reused)
