"""Where a study's time went, and what sharing and pruning spared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagetree.core.trials import TrialRow
from stagetree.pipeline import seeds

if TYPE_CHECKING:
    from stagetree.core.curves import StageCurve
    from stagetree.core.trials import StageRow


@dataclass
class StageCost:
    """What a stage cost over all trials, in seconds.

    Attributes:
        name: Its name, without a seed.
        runs: How often it was computed to its end.
        computed: What that took.
        reuses: How often a trial found it in the store.
        reused: What computing it again would have taken.
        cut: Spent on runs of it that were pruned.
        cuts: How many those were.
        pruned: About what pruned trials would have spent on it had they gone on.
    """

    name: str
    runs: int = 0
    computed: float = 0.0
    reuses: int = 0
    reused: float = 0.0
    cut: float = 0.0
    cuts: int = 0
    pruned: float = 0.0


@dataclass(frozen=True)
class Costs:
    """What a study cost, in seconds.

    Attributes:
        stages: By stage, in the order they run in.
        spent: Wall time of all trials together.
        failed: Spent in failed trials, beyond the stages they finished.
        other: The rest: setting up, loading, waiting.
    """

    stages: Sequence[StageCost]
    spent: float
    failed: float
    other: float

    @property
    def reused(self) -> float:
        """What computing all reused results took when they were computed."""
        return sum(stage.reused for stage in self.stages)

    @property
    def reuses(self) -> int:
        """How many stages of trials were found in the store."""
        return sum(stage.reuses for stage in self.stages)

    @property
    def pruned(self) -> float:
        """About what pruning spared."""
        return sum(stage.pruned for stage in self.stages)


def costs(
    rows: Sequence[TrialRow], curves: Mapping[int, Sequence[StageCurve]] | None = None
) -> Costs:
    """Return what trials cost, and what was not spent again.

    The time saved by reuse is what computing the reused results took when they were computed.
    The time saved by pruning is an estimate: of the stage a trial was pruned in the part it did
    not do, at the mean of that stage's runs, and of later stages what a complete trial spends on
    them on average beyond what it reuses.

    Args:
        rows: The trials.
        curves: What they reported, to know how far a pruned trial came in its stage.
    """
    stages: dict[str, StageCost] = {}
    for name in _order(rows):
        stages[name] = StageCost(name)
    for row in rows:
        for stage in row.stages:
            _add(stages[seeds.plain(stage.name)], stage)
    later = _later(rows, list(stages))
    rest = {row.number: _rest(row) for row in rows}
    failed = sum(rest[row.number] for row in rows if row.state == "failed")
    for row in rows:
        if row.state == "pruned" and row.copy_of is None:
            _prune(stages, row, rest[row.number], (curves or {}).get(row.number, ()), later)
    spent = sum(row.seconds for row in rows)
    known = sum(stage.computed + stage.cut for stage in stages.values()) + failed
    return Costs(list(stages.values()), spent, failed, max(spent - known, 0.0))


def _order(rows: Sequence[TrialRow]) -> list[str]:
    """Return the stages' names, each after those that run before it in the longest trial."""
    longest = sorted(rows, key=lambda row: -len(row.stages))
    names = [seeds.plain(stage.name) for row in longest for stage in row.stages]
    cut = [seeds.plain(row.pruned_in) for row in rows if row.pruned_in]
    return list(dict.fromkeys([*names, *cut]))


def _add(cost: StageCost, stage: StageRow) -> None:
    if stage.reused:
        cost.reuses += 1
        cost.reused += stage.seconds
    else:
        cost.runs += 1
        cost.computed += stage.seconds


def _rest(row: TrialRow) -> float:
    """Return what a trial took beyond the stages it finished."""
    own = sum(stage.seconds for stage in row.stages if not stage.reused)
    return max(row.seconds - own, 0.0)


def _prune(
    stages: Mapping[str, StageCost],
    row: TrialRow,
    rest: float,
    curves: Sequence[StageCurve],
    later: Mapping[str, float],
) -> None:
    """Add what a pruned trial spent in its last stage, and what it left undone."""
    if row.pruned_in is None:
        return
    last = stages[seeds.plain(row.pruned_in)]
    if row.pruned_in not in {stage.name for stage in row.stages}:
        done = [share for one in curves if one.stage == row.pruned_in for share, _ in one.points]
        last.cut += rest
        last.cuts += 1
        if last.runs:
            last.pruned += (1.0 - max(done, default=0.0)) * last.computed / last.runs
    names = list(stages)
    for name in names[names.index(last.name) + 1 :]:
        stages[name].pruned += later[name]


def _later(rows: Sequence[TrialRow], names: Sequence[str]) -> dict[str, float]:
    """Return what a complete trial spends in each stage on average, what it reuses left out."""
    whole = [row for row in rows if row.state == "complete" and row.copy_of is None]
    spent = dict.fromkeys(names, 0.0)
    for row in whole:
        for stage in row.stages:
            spent[seeds.plain(stage.name)] += 0.0 if stage.reused else stage.seconds / len(whole)
    return spent
