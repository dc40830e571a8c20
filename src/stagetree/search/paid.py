"""Where the next trial should leave what is paid for: at which stage, and which prefixes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from stagetree.pipeline.regression import LogRegression
from stagetree.search.notes import stages_done
from stagetree.search.steps import names_done, stage_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from optuna.distributions import BaseDistribution

    from stagetree.search.dependence import Dependence

EXTRA = 1.3
"""How many times as many continuations a prefix gets as balances the costs."""

WORTH = 1.2
"""Fewer continuations than this are not worth having trials in common."""

SEEN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)

RECENT = 200
"""So many of the last trials say what stages cost."""

Key = tuple[Any, ...]
_LACKING = object()


@dataclass(frozen=True)
class Level:
    """Stages that are computed anew together, whenever one of some parameters changes.

    Attributes:
        own: The parameters that matter from here on and not before.
        stages: The stages.
    """

    own: frozenset[str]
    stages: tuple[str, ...]


def levels_of(dependence: Dependence, names: Collection[str]) -> list[Level]:
    """Return the levels of a pipeline, first to last.

    A parameter that no stage is known to depend on counts as one that all do.

    >>> [sorted(one.own) for one in levels_of({"a": frozenset("x"), "b": frozenset("xy")}, "xy")]
    [['x'], ['y']]
    """
    known = frozenset().union(*dependence.values()) if dependence else frozenset[str]()
    before = frozenset(names) - known
    levels = [Level(before, ())] if before else []
    for stage, needed in dependence.items():
        own = (needed & frozenset(names)) - before
        if own or not levels:
            levels.append(Level(own, (stage,)))
        else:
            levels[-1] = Level(levels[-1].own, (*levels[-1].stages, stage))
        before |= own
    return [level for level in levels if level.own]


class Paid:
    """What the trials of a study have paid for, by levels.

    A prefix is what a trial's first levels have as parameters; the trials that share one share
    the results of its stages.

    Args:
        levels: The levels.
        trials: Trials of the study that have completed, were pruned or run.
    """

    def __init__(self, levels: Sequence[Level], trials: Sequence[FrozenTrial]) -> None:
        self.levels = levels
        self._names = [
            sorted(frozenset().union(*(level.own for level in levels[:depth])))
            for depth in range(len(levels) + 1)
        ]
        self._trials = trials

    def prefix(self, params: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return the parameters of the first ``depth`` levels."""
        return {name: params[name] for name in self._names[depth] if name in params}

    def shares(self) -> list[float] | None:
        """Return how many different prefixes of each depth there should be for each whole trial.

        A prefix that cost A is worth b = sqrt(A / C) continuations that cost C each, if what they
        vary counts as much as what came before: the optimum of two-stage sampling (W. G. Cochran,
        Sampling Techniques, 1977, eq. 10.26). Where the costs lie in the last stages b is 1, and
        nothing is shared.

        Returns:
            Shares of 1, for one level, two, ... and all; ``None`` where costs are not known or
            nothing should be shared.
        """
        costs = self.costs()
        if costs is None:
            return None
        shares = [1.0]
        for depth in range(len(self.levels) - 1, 0, -1):
            shares.insert(0, shares[0] / self._continuations(depth, costs))
        return shares if shares[0] < 1 else None

    def depth(self, shares: Sequence[float]) -> int:
        """Return how many first levels the next trial should have in common with an earlier one.

        The shallowest level that lacks different prefixes gets one.
        """
        for depth, wanted in enumerate(shares[:-1]):
            if self._count(depth + 1) < wanted * (len(self._trials) + 1):
                return depth
        return len(self.levels) - 1

    def _continuations(self, depth: int, costs: NDArray[np.float64]) -> float:
        """Return in how many ways a prefix of ``depth`` levels should be continued."""
        wanted = EXTRA * math.sqrt(costs[:depth].sum() / costs[depth:].sum())
        return 1.0 if wanted < WORTH else min(wanted, self._choices(self.levels[depth].own))

    def _choices(self, names: Collection[str]) -> float:
        """Return how many values parameters have together, infinite where one is continuous."""
        known: dict[str, BaseDistribution] = {}
        for trial in reversed(self._trials):
            known = {**trial.distributions, **known}
            if known.keys() >= set(names):
                break
        return math.prod(_size(known[name]) for name in names if name in known)

    def _count(self, depth: int) -> int:
        return len({self.key(trial.params, depth) for trial in self._trials})

    def key(self, params: Mapping[str, Any], depth: int) -> Key:
        """Return what is equal for two trials exactly if their prefixes are."""
        return tuple([params.get(name, _LACKING) for name in self._names[depth]])

    def costs(self) -> NDArray[np.float64] | None:
        """Return the mean seconds of each level; ``None`` while one is not known.

        Only the last trials are looked at.
        """
        seen: set[str] = set()
        seconds: dict[str, list[float]] = {}
        for trial in self._trials[-RECENT:]:
            of_trial: Counter[str] = Counter()
            for row in stages_done(trial):
                if row["signature"] not in seen:
                    seen.add(row["signature"])
                    of_trial[stage_of(row)] += row["seconds"]
            for stage, taken in of_trial.items():
                seconds.setdefault(stage, []).append(taken)
        if any(stage not in seconds for level in self.levels for stage in level.stages):
            return None
        means = [sum(fmean(seconds[stage]) for stage in level.stages) for level in self.levels]
        return np.asarray(np.maximum(means, 1e-9))

    def remaining(
        self, points: Sequence[Mapping[str, Any]], depth: int
    ) -> NDArray[np.float64] | None:
        """Return the seconds that points are expected to take from level ``depth`` on.

        They are learnt from the last trials that have all those stages, whoever computed them;
        ``None`` where there are none.
        """
        wanted = {stage for level in self.levels[depth:] for stage in level.stages}
        params, seconds = [], []
        for trial in self._trials[-RECENT:]:
            rows = [row for row in stages_done(trial) if stage_of(row) in wanted]
            taken = sum(float(row["seconds"]) for row in rows)
            if {stage_of(row) for row in rows} == wanted and taken > 0:
                params.append(trial.params)
                seconds.append(taken)
        if not params:
            return None
        mean, _ = LogRegression().fit(params, seconds).predict(points)
        return mean

    def has(self, trial: FrozenTrial, depth: int) -> bool:
        """Return whether a trial has computed, or found, all stages of its first levels."""
        if trial.state == TrialState.COMPLETE:
            return True
        done = names_done(trial)
        return all(done.issuperset(level.stages) for level in self.levels[:depth])

    def prefixes(self, ranked: Sequence[FrozenTrial], depth: int, count: int) -> list[FrozenTrial]:
        """Return the first trials with different paid prefixes of ``depth`` levels."""
        found: dict[Key, FrozenTrial] = {}
        for trial in ranked:
            if len(found) >= count:
                break
            if self.has(trial, depth):
                found.setdefault(self.key(trial.params, depth), trial)
        return list(found.values())


def _size(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution | FloatDistribution) and distribution.step:
        return 1 + round((distribution.high - distribution.low) / distribution.step)
    return math.inf
