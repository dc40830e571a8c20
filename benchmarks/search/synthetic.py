"""What a search saves that knows what is paid for, on pipelines of known costs and optima.

Four stages of three hyperparameters in [0, 1] each. The best place of a stage depends on the one
before it; each stage adds noise that belongs to the executed prefix, so that trials which share a
prefix share its noise. Two families: ``valley`` (stages add up) and ``product`` (they multiply, so
that one bad stage spoils all). The costs lie in the first stages (60, 20, 12, 8 % of a pipeline),
are equal, or lie in the last. Every result is stored: a stage is paid for once, whoever asks.

Each sampler works until 1.5 times ``--budget`` whole pipelines are paid for. ``speed`` is what
plain TPE (Optuna's default) pays until its regret is that of its median seed at the budget, over
what the other one pays until then: medians over seeds, with a bootstrap interval of 95 % over
seeds. Regret is that of the incumbent, the trial with the best noisy value, without noise.

    OMP_NUM_THREADS=1 python benchmarks/search/synthetic.py --seeds 100
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from measure import describe, table
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from scipy.special import ndtri

from stagetree.search.notes import NOTES
from stagetree.search.stage_gp import StageGPSampler
from stagetree.search.stage_tpe import StageTPESampler

STAGES, EACH, NOISE = 4, 3, 0.01
COSTS = {"first": (60, 20, 12, 8), "equal": (25, 25, 25, 25), "last": (8, 12, 20, 60)}
FAMILIES = ("valley", "product")
NAMES = [f"s{stage}.p{place}" for stage in range(STAGES) for place in range(EACH)]
SPACE = {name: FloatDistribution(0, 1) for name in NAMES}
DEPENDENCE = {f"s{k}": frozenset(NAMES[: (k + 1) * EACH]) for k in range(STAGES)}
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "stagetree_tpe": lambda seed: StageTPESampler(seed=seed, dependence=DEPENDENCE),
    "gp": lambda seed: GPSampler(seed=seed),
    "stagetree_gp": lambda seed: StageGPSampler(seed=seed, dependence=DEPENDENCE),
}
BLIND = ("tpe", "random", "gp")
"""Samplers for which it does not matter where the costs lie: they never share a prefix."""


class Pipeline:
    """A pipeline made up from a seed; smaller is better and the best is 0."""

    def __init__(self, family: str, seed: int) -> None:
        draw = np.random.default_rng(10_000 + seed)
        self._family = family
        self._seed = seed
        self._best = draw.uniform(0.2, 0.8, (STAGES, EACH))
        self._shift = draw.uniform(-0.6, 0.6, (STAGES, EACH))
        self._weights = draw.dirichlet([4] * EACH, size=STAGES)

    def regret(self, point: NDArray[np.float64]) -> float:
        """Return how much worse a point is than the best one, without noise."""
        far = []
        for stage, own in enumerate(point.reshape(STAGES, EACH)):
            context = point[(stage - 1) * EACH : stage * EACH].mean() - 0.5 if stage else 0.0
            best = np.clip(self._best[stage] + self._shift[stage] * context, 0, 1)
            far.append(float(self._weights[stage] @ (own - best) ** 2))
        if self._family == "valley":
            return sum(far)
        return math.prod(1 - 0.45 * math.exp(-one / 0.08) for one in far) - 0.55**STAGES

    def observed(self, point: NDArray[np.float64]) -> float:
        """Return the regret with the noise of each executed prefix."""
        return self.regret(point) + sum(self._noise(point, stage) for stage in range(STAGES))

    def _noise(self, point: NDArray[np.float64], stage: int) -> float:
        prefix = point[: (stage + 1) * EACH].tobytes()
        digest = hashlib.sha256(prefix + bytes([stage]) + self._seed.to_bytes(4, "big")).digest()
        uniform = (int.from_bytes(digest[:8], "big") + 0.5) / 2**64
        return float(ndtri(uniform)) * NOISE


@dataclass(frozen=True)
class Run:
    """A search: after each trial what was paid (in pipelines) and the incumbent's regret.

    ``asking`` has the CPU-seconds that each proposal took.
    """

    paid: list[float]
    regret: list[float]
    asking: list[float]

    def at(self, budget: float) -> float:
        """Return the regret when so much was paid."""
        place = int(np.searchsorted(self.paid, budget, side="right")) - 1
        return self.regret[place] if place >= 0 else math.inf

    def reaching(self, regret: float) -> float:
        """Return what was paid until the regret was that small."""
        return next(
            (paid for paid, own in zip(self.paid, self.regret, strict=True) if own <= regret),
            math.inf,
        )


def search(task: tuple[str, str, str, int, float], most: float = math.inf) -> Run:
    """Search one pipeline with a sampler built anew for each trial, as our workers do.

    Args:
        task: Sampler, family, where the costs lie, seed and budget in whole pipelines.
        most: Trials at most.
    """
    name, family, where, seed, budget = task
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    pipeline, costs = Pipeline(family, seed), np.array(COSTS[where]) / sum(COSTS[where])
    study = optuna.create_study()
    stored: set[bytes] = set()
    paid, best = 0.0, math.inf
    run = Run([], [], [])
    while paid < budget and len(run.paid) < most:
        study.sampler = SAMPLERS[name](seed * 100_003 + len(study.get_trials(deepcopy=False)))
        start = time.process_time()
        trial = study.ask(SPACE)
        run.asking.append(time.process_time() - start)
        point = np.array([trial.params[one] for one in NAMES])
        rows = []
        for stage, cost in enumerate(costs):
            key = point[: (stage + 1) * EACH].tobytes()
            paid += 0.0 if key in stored else cost
            stored.add(key)
            rows.append({"name": f"s{stage}", "signature": key.hex(), "seconds": float(cost)})
        value = pipeline.observed(point)
        trial.set_user_attr(NOTES, {"stages": rows})
        study.tell(trial, value)
        better = value < best
        best = min(best, value)
        run.paid.append(paid)
        run.regret.append(pipeline.regret(point) if better else run.regret[-1])
    return run


def speed(
    plain: Sequence[Run], other: Sequence[Run], budget: float, draws: int = 2000
) -> tuple[float, float, float]:
    """Return the speed of one sampler by another's, and its bootstrap interval of 95 %."""

    def ratio(chosen: NDArray[np.int64]) -> float:
        one, two = [plain[place] for place in chosen], [other[place] for place in chosen]
        target = float(np.median([run.at(budget) for run in one]))
        reached = [float(np.median([run.reaching(target) for run in runs])) for runs in (one, two)]
        return reached[0] / reached[1]

    everyone = np.arange(len(plain))
    generator = np.random.default_rng(0)
    found = [ratio(generator.choice(everyone, len(everyone))) for _ in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975])
    return ratio(everyone), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--budget", type=float, default=40.0, help="in whole pipelines")
    parser.add_argument("--samplers", nargs="+", default=["random", "stagetree_tpe"])
    parser.add_argument("--costs", nargs="+", default=list(COSTS), choices=list(COSTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file for the median curves, as JSON")
    options = parser.parse_args()
    print(describe("optuna", "numpy", "scipy"), flush=True)
    names = ["tpe", *(name for name in options.samplers if name != "tpe")]
    tasks = [
        (name, family, where, seed, 1.5 * options.budget)
        for name in names
        for family in FAMILIES
        for where in (options.costs[:1] if name in BLIND else options.costs)
        for seed in range(options.seeds)
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        runs = dict(zip(tasks, pool.map(search, tasks, chunksize=5), strict=True))
    rows, curves = [], []
    for family in FAMILIES:
        for name in names:
            for where in options.costs:
                at = options.costs[0] if name in BLIND else where
                both = [
                    [runs[(who, family, place, seed, 1.5 * options.budget)]
                     for seed in range(options.seeds)]
                    for who, place in (("tpe", options.costs[0]), (name, at))
                ]  # fmt: skip
                rows.append(_row(family, where, name, both[0], both[1], options.budget))
                curves.append(_curve(family, where, name, both[1], options.budget))
    header = (
        "family",
        "dear",
        "sampler",
        "speed",
        "95 %",
        "regret",
        "half way",
        "trials",
        "ask ms",
    )
    print(table(header, rows))
    if options.out:
        options.out.write_text(json.dumps(curves))


def _row(
    family: str, where: str, name: str, plain: list[Run], own: list[Run], budget: float
) -> tuple[str, ...]:
    ratio, low, high = speed(plain, own, budget)
    medians = [float(np.median([run.at(share * budget) for run in own])) for share in (1, 0.5)]
    within = [sum(paid <= budget for paid in run.paid) for run in own]
    asking = 1000 * float(np.mean([np.mean(run.asking) for run in own]))
    interval = f"{low:.2f}-{high:.2f}"
    figures = (f"{medians[0]:.4f}", f"{medians[1]:.4f}", f"{np.mean(within):.0f}", f"{asking:.0f}")
    return (family, where, name, f"{ratio:.2f}", interval, *figures)


def _curve(family: str, where: str, name: str, own: list[Run], budget: float) -> dict[str, Any]:
    grid = [budget * step / 40 for step in range(2, 61)]
    quartiles = [np.quantile([run.at(paid) for run in own], [0.25, 0.5, 0.75]) for paid in grid]
    return {
        "family": family,
        "costs": where,
        "sampler": name,
        "paid": grid,
        "regret": [list(map(float, each)) for each in quartiles],
    }


if __name__ == "__main__":
    main()
