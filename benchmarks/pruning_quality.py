"""What a pruner decides by stage fraction and by global optimiser step, on recorded curves.

Replays the real learning curves of ``data/curves_60.json`` (60 random trials whose batch size is
searched, see ``record_curves.py``) in many random orders, one trial after the other. A trial that
the pruner ends shows nothing more, as in a search. Two axes for each pruner:

- fraction: as stagetree does it, ``StageAwarePruner`` and the fraction of the stage's budget;
- step: plain Optuna and reports at the global optimiser step, the usual way.

Counted a study: *bad* trials ended (final value below the median of all), *best* ones ended (upper
quartile), the share of all training that was not done, and by how much the best value
that was left lies below the best of all. ``MedianPruner`` is ``PercentilePruner`` at 50.

    python benchmarks/pruning_quality.py
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

import machine
from stagetree.search.stage_pruner import (
    STAGE_STEPS,
    StageAwarePruner,
    stage_attribute,
    step_of,
)

CURVES = Path(__file__).with_name("data") / "curves_60.json"
STAGE = "finetune"
FRACTION, STEP = "fraction", "step"


@dataclass(frozen=True)
class Curve:
    """A recorded trial: (fraction, global step, value) an evaluation, and its final value."""

    number: int
    reports: Sequence[tuple[float, int, float]]
    value: float


@dataclass(frozen=True)
class Verdict:
    """What a pruner did in one study.

    Attributes:
        bad: Trials below the median that it ended.
        best: Trials of the upper quartile that it ended.
        saved: Share of the training that was not done.
        lost: How far the best complete trial lies below the best of all.
    """

    bad: int
    best: int
    saved: float
    lost: float


def pruners(lengths: Sequence[int]) -> dict[str, Callable[[str], BasePruner]]:
    """Return how to build each pruner for an axis, as ``conf/pruner`` has them.

    What a pruner counts in steps is given as the same share of each axis: a rung or Hyperband's
    budget as a share of a stage or of the longest trial, a warm-up as a share of a stage or of
    the mean trial.

    Args:
        lengths: Optimiser steps of every trial.
    """

    def unit(axis: str) -> int:
        return max(lengths) if axis == STEP else STAGE_STEPS

    def warm_up(axis: str, share: float) -> int:
        return round(share * (statistics.mean(lengths) if axis == STEP else STAGE_STEPS))

    def percentile(axis: str, kept: float, share: float) -> BasePruner:
        return PercentilePruner(
            kept, n_startup_trials=5, n_warmup_steps=warm_up(axis, share), n_min_trials=3
        )

    return {
        "median": lambda axis: percentile(axis, 50.0, 0.1),
        "median, warm-up 30 %": lambda axis: percentile(axis, 50.0, 0.3),
        "percentile 25": lambda axis: percentile(axis, 25.0, 0.1),
        "percentile 25, warm-up 30 %": lambda axis: percentile(axis, 25.0, 0.3),
        "successive halving": lambda axis: SuccessiveHalvingPruner(
            min_resource=unit(axis) // 10, reduction_factor=3
        ),
        "Hyperband": lambda axis: HyperbandPruner(
            min_resource=unit(axis) // 10, max_resource=unit(axis), reduction_factor=3
        ),
    }


def replay(order: Sequence[Curve], axis: str, pruner: BasePruner) -> list[int]:
    """Run one study; return how many evaluations each trial was allowed, in order."""
    judge = pruner if axis == STEP else StageAwarePruner(pruner)
    study = optuna.create_study(
        study_name="replay",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=judge,
    )
    allowed = []
    for curve in order:
        trial = study.ask()
        trial.set_user_attr(stage_attribute(0), [STAGE, str(curve.number)])
        seen = _run(trial, curve, axis)
        allowed.append(seen)
        state = optuna.trial.TrialState.COMPLETE
        ended = seen < len(curve.reports)
        study.tell(
            trial,
            None if ended else curve.value,
            state=optuna.trial.TrialState.PRUNED if ended else state,
        )
    return allowed


def _run(trial: optuna.Trial, curve: Curve, axis: str) -> int:
    """Report until the pruner ends the trial; the last report ends nothing that could be saved."""
    for place, (fraction, step, value) in enumerate(curve.reports, start=1):
        trial.report(value, step if axis == STEP else step_of(0, fraction))
        if place < len(curve.reports) and trial.should_prune():
            return place
    return len(curve.reports)


def judge(order: Sequence[Curve], allowed: Sequence[int]) -> Verdict:
    """Count what was ended rightly and wrongly."""
    values = [curve.value for curve in order]
    median = statistics.median(values)
    upper = statistics.quantiles(values, n=4)[2]
    ended = [
        (curve, curve.reports[seen - 1][0])
        for curve, seen in zip(order, allowed, strict=True)
        if seen < len(curve.reports)
    ]
    gone = {curve.number for curve, _ in ended}
    kept = [curve.value for curve in order if curve.number not in gone]
    return Verdict(
        bad=sum(curve.value < median for curve, _ in ended),
        best=sum(curve.value > upper for curve, _ in ended),
        saved=sum(1 - fraction for _, fraction in ended) / len(order),
        lost=max(values) - max(kept),
    )


def study(seed: int, curves: Sequence[Curve]) -> dict[tuple[str, str], Verdict]:
    """Replay one random order under every pruner and axis."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    order = list(curves)
    random.Random(seed).shuffle(order)
    lengths = [curve.reports[-1][1] for curve in curves]
    return {
        (name, axis): judge(order, replay(order, axis, build(axis)))
        for name, build in pruners(lengths).items()
        for axis in (FRACTION, STEP)
    }


def read(path: Path) -> tuple[list[Curve], Mapping[str, Any]]:
    """Return the recorded curves and how they were recorded."""
    content = json.loads(path.read_text())
    curves = [
        Curve(trial["number"], [tuple(point) for point in trial["curve"]], trial["value"])
        for trial in content["trials"]
    ]
    return curves, content["recorded"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--orders", type=int, default=200, help="random orders of the trials")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(machine.describe("optuna"))
    curves, how = read(options.curves)
    print(f"recorded {how['date']}: {how['command']}")
    values = sorted(curve.value for curve in curves)
    quartiles = ", ".join(f"{value:.3f}" for value in statistics.quantiles(values, n=4))
    print(
        f"{len(curves)} trials, final value {values[0]:.3f} to {values[-1]:.3f}, quartiles "
        f"{quartiles}; {sum(value < statistics.median(values) for value in values)} bad, "
        f"{sum(value > statistics.quantiles(values, n=4)[2] for value in values)} best"
    )
    with ProcessPoolExecutor(options.processes) as pool:
        found = list(pool.map(partial(study, curves=curves), range(options.orders), chunksize=5))
    show(found)


def show(found: Sequence[Mapping[tuple[str, str], Verdict]]) -> None:
    """Print the means over all orders, and how the fraction stands against the step."""
    rows = []
    means = {}
    for key in found[0]:
        verdicts = [one[key] for one in found]
        bad, best, saved, lost = (
            statistics.mean(getattr(verdict, name) for verdict in verdicts)
            for name in ("bad", "best", "saved", "lost")
        )
        means[key] = bad, best
        worst = max(verdict.best for verdict in verdicts)
        rows.append(
            [
                ", by ".join(key),
                f"{bad:.1f}",
                f"{best:.2f}",
                str(worst),
                f"{saved:.1%}",
                f"{lost:.4f}",
            ]
        )
    for name in dict.fromkeys(name for name, _ in means):
        (bad, best), (plain_bad, plain_best) = means[name, FRACTION], means[name, STEP]
        met = bad >= plain_bad and best <= plain_best / 3
        ratio = (
            f"{best / plain_best:.2f} times"
            if plain_best
            else "none pruned by step, so no ratio of"
        )
        print(
            f"{name}: {bad - plain_bad:+.1f} bad trials pruned, {ratio} the best "
            f"(target: +0.0 and 0.33 times): {'met' if met else 'missed'}"
        )
    print(f"\nmeans over {len(found)} orders\n")
    header = [
        "pruner",
        "bad pruned",
        "best pruned",
        "at worst",
        "training saved",
        "best value lost",
    ]
    print(machine.table(header, rows))


if __name__ == "__main__":
    main()
