"""All that a report says of a study, as plain data, put together before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stagetree.core.curves import StageCurve
from stagetree.core.figure import Figure
from stagetree.core.trials import TrialRow
from stagetree.pipeline.record import Record
from stagetree.tasks.examples import Confusion


@dataclass(frozen=True)
class StudyView:
    """A study as its report sees it.

    Attributes:
        name: Its name.
        rows: Its trials, by number.
        directions: ``maximize`` or ``minimize``, one an objective.
        metrics: Name of each objective.
        best: The best trial; ``None`` with several objectives, and while none is within bounds.
        front: The trials of the Pareto front, or the best alone.
        curves: What each trial reported in each of its stages, by the trial's number.
        records: Records of stage results by signature, as far as they are stored.
        confusion: What the best trial's model takes for what.
        space: What was searched over: values by displayed name.
        constraints: Bounds by metric.
        search_line: The line that starts the study, or goes on with it.
        updated: When the last trial ended; empty before.
        confirmed: What running the best again over several seeds has shown, in sentences.
        figures: Charts to draw.
        left_out: Why other charts are missing.
    """

    name: str
    rows: Sequence[TrialRow]
    directions: Sequence[str]
    metrics: Sequence[str]
    best: TrialRow | None = None
    front: Sequence[TrialRow] = ()
    curves: Mapping[int, Sequence[StageCurve]] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    confusion: Confusion | None = None
    space: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    search_line: str = ""
    updated: str = ""
    confirmed: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    left_out: Sequence[str] = ()

    @property
    def several(self) -> bool:
        """Whether there are several objectives, and so no single best trial."""
        return len(self.directions) > 1

    @property
    def sign(self) -> float:
        """What the first objective is multiplied by to make more better."""
        return 1.0 if self.directions[0] == "maximize" else -1.0

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(row.state == state for row in self.rows)

    def record_of(self, row: TrialRow) -> Record | None:
        """Return the record of a trial's last stage, if it is stored."""
        return self.records.get(row.stages[-1].signature) if row.stages else None
