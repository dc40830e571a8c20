"""What rungs over the whole pipeline gain and lose against pruning stage by stage, simulated.

Pipelines of two to four stages with two hyperparameters each. A stage's score is what the stages
so far have gained, with noise bound to the prefix (trials with the same prefix have the same
noise), and rises within the stage. Nothing is trained; costs are counted in whole pipelines, and a
stage that is stored costs nothing. TPE chooses, a pruner of ``conf/pruner`` judges.

- additive: every stage's gain is its own, so an early score tells of the final one;
- crossed: the last stage undoes half of what tells the first stage's results apart and wants
  other values by what the first one had, so early ranks mislead;
- siblings: as additive, but the first stage has four points only, so prefixes are shared.

Counted a study: the regret (how far the best complete trial's score without noise lies below the
optimum) when the budget is spent or 150 trials were started, and the cost at which ``none``'s
final median regret is reached (the whole budget counts where it is not). Differences have
bootstrapped intervals of 95 % over seeds; every pruner sees the same seeds.

    PYTHONPATH=benchmarks python benchmarks/search/rungs.py
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optuna
from omegaconf import OmegaConf
from optuna.trial import TrialState

import machine
from stagetree.search.samplers import build_pruner
from stagetree.search.stage_pruner import stage_attribute, step_of

PRUNERS = ("none", "median", "asha", "asha_across", "hyperband_across")
COSTS = {
    "cheap first": (0.05, 0.15, 0.3, 0.5),
    "flat": (0.34, 0.33, 0.33),
    "costly first": (0.6, 0.2, 0.12, 0.08),
    "two stages": (0.2, 0.8),
}
SCENARIOS = [
    *((shape, family) for shape in COSTS for family in ("additive", "crossed")),
    ("cheap first", "siblings"),
    ("costly first", "siblings"),
]
EVALUATIONS = 5
NOISE = 0.01
MOST = 150
AT_ONCE = 2
FIRST = 100  # the defaults of conf/pruner were chosen on seeds 0 to 15
CONF = Path(__file__).parents[2] / "conf" / "pruner"


@dataclass(frozen=True)
class World:
    """A pipeline whose optimum is known.

    Attributes:
        costs: Share of the pipeline's cost of every stage.
        family: How early scores tell of the final one.
        seed: Seed of the optimum and of the noise.
    """

    costs: Sequence[float]
    family: str
    seed: int

    def optimum(self, stage: int) -> tuple[float, float]:
        """Return where a stage's gain is highest."""
        drawn = random.Random(f"{self.seed}/{stage}")
        return drawn.uniform(0.2, 0.8), drawn.uniform(0.2, 0.8)

    def suggest(self, trial: optuna.Trial) -> list[tuple[float, float]]:
        """Return a trial's point, stage by stage."""
        point = []
        for stage in range(len(self.costs)):
            if stage == 0 and self.family == "siblings":
                u = trial.suggest_categorical("u0", [0.2, 0.4, 0.6, 0.8])
                point.append((float(u), 0.5))
                continue
            point.append(
                (trial.suggest_float(f"u{stage}", 0, 1), trial.suggest_float(f"v{stage}", 0, 1))
            )
        return point

    def score(self, point: Sequence[tuple[float, float]], upto: int) -> float:
        """Return the score without noise after stage ``upto``; 1 is the best there is."""
        lost = 0.0
        for stage in range(upto + 1):
            u, v = point[stage]
            best_u, best_v = self.optimum(stage)
            if self.family == "siblings" and stage == 0:
                best_u, best_v = 0.6, 0.5
            if self.family == "crossed" and stage == len(self.costs) - 1:
                best_u = (best_u + point[0][0]) % 1.0
                lost *= 0.5
            lost += 0.6 / len(self.costs) * ((u - best_u) ** 2 + (v - best_v) ** 2)
        return 1.0 - lost

    def curve(self, point: Sequence[tuple[float, float]], stage: int) -> list[tuple[float, float]]:
        """Return what a stage reports: a rise to its score, quicker for some than for others."""
        drawn = random.Random(f"{self.seed}/{point[: stage + 1]}")
        final = self.score(point, stage) + drawn.gauss(0, NOISE)
        rate = 2 + 4 * point[stage][1]
        found = []
        for place in range(1, EVALUATIONS + 1):
            fraction = place / EVALUATIONS
            missing = 0.3 * (math.exp(-rate * fraction) - math.exp(-rate))
            found.append((fraction, final - missing + drawn.gauss(0, NOISE / 3) * (fraction < 1)))
        return found


@dataclass(frozen=True)
class Result:
    """What a study came to.

    Attributes:
        path: Cost and regret, whenever the best complete trial changed.
        regret: Regret at the end.
        trials: Trials that were started.
        complete: Trials that ran to their end.
    """

    path: Sequence[tuple[float, float]]
    regret: float
    trials: int
    complete: int

    def cost_to(self, regret: float, budget: float) -> float:
        """Return the cost at which a regret was reached, ``budget`` where it was not."""
        return next((cost for cost, reached in self.path if reached <= regret), budget)


def search(world: World, pruner: str, budget: float) -> Result:
    """Run one study until ``budget`` whole pipelines are paid for."""
    node = OmegaConf.to_container(OmegaConf.load(CONF / f"{pruner}.yaml"))
    assert isinstance(node, dict)
    study = optuna.create_study(
        study_name=f"s{world.seed}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=world.seed, n_startup_trials=10),
        pruner=build_pruner({str(key): value for key, value in node.items()}),
    )
    stored: set[str] = set()
    spent, best, path, started = 0.0, math.inf, [], 0
    while spent < budget and started < MOST:
        trial, started = study.ask(), started + 1
        point = world.suggest(trial)
        cost, value = run(world, trial, point, stored)
        spent += cost
        if value is None:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        study.tell(trial, value)
        regret = 1.0 - world.score(point, len(world.costs) - 1)
        if regret < best:
            best = regret
            path.append((spent, best))
    done = sum(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
    return Result(path, best, started, done)


def run(
    world: World,
    trial: optuna.Trial,
    point: Sequence[tuple[float, float]],
    stored: set[str],
) -> tuple[float, float | None]:
    """Run a trial; return what it cost and its value, ``None`` when it was pruned."""
    spent, value = 0.0, math.nan
    notes = [{"name": f"s{stage}", "seconds": cost} for stage, cost in enumerate(world.costs)]
    for stage, cost in enumerate(world.costs):
        signature = str(point[: stage + 1])
        trial.set_user_attr(stage_attribute(stage), [f"s{stage}", signature])
        for fraction, value in world.curve(point, stage):
            over = fraction == 1.0
            trial.report(value, step_of(stage, fraction))
            last = over and stage == len(world.costs) - 1
            if not last and trial.should_prune():
                if signature not in stored:
                    spent += fraction * cost
                    stored |= {signature} if over else set()
                return spent, None
        spent += 0.0 if signature in stored else cost
        stored.add(signature)
    trial.set_user_attr("notes", {"stages": notes})
    return spent, value


def study(job: tuple[str, str, str, int, float]) -> tuple[tuple[str, str, str, int], Result]:
    """Run one study of the benchmark."""
    shape, family, pruner, seed, budget = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    result = search(World(COSTS[shape], family, FIRST + seed), pruner, budget)
    return (shape, family, pruner, seed), result


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a bootstrapped interval of 95 % of the mean."""
    drawn = random.Random(0)
    means = sorted(statistics.fmean(drawn.choices(values, k=len(values))) for _ in range(1000))
    return means[25], means[974]


def show(
    found: Mapping[tuple[str, str, str, int], Result], seeds: Sequence[int], budget: float
) -> None:
    """Print a table a scenario."""
    for shape, family in SCENARIOS:
        plain = [found[shape, family, "none", seed] for seed in seeds]
        goal = statistics.median(result.regret for result in plain)
        costs = ", ".join(f"{cost:g}" for cost in COSTS[shape])
        print(f"\n{shape} ({costs}), {family}\n")
        header = ["pruner", "regret", "against none", "", "cost to goal", "trials", "complete"]
        rows = [
            row(pruner, [found[shape, family, pruner, seed] for seed in seeds], plain, goal, budget)
            for pruner in PRUNERS
        ]
        print(machine.table(header, rows))


def row(
    pruner: str, results: Sequence[Result], plain: Sequence[Result], goal: float, budget: float
) -> list[str]:
    """Return a line of a scenario's table."""
    gained = [one.regret - base.regret for one, base in zip(results, plain, strict=True)]
    low, high = interval(gained)
    reached, reference = (
        statistics.fmean(result.cost_to(goal, budget) for result in some)
        for some in (results, plain)
    )
    return [
        pruner,
        f"{statistics.fmean(result.regret for result in results):.4f}",
        f"{statistics.fmean(gained):+.4f} [{low:+.4f}, {high:+.4f}]",
        verdict(low, high) if pruner != "none" else "",
        f"{reached / reference:.2f}",
        f"{statistics.fmean(result.trials for result in results):.0f}",
        f"{statistics.fmean(result.complete for result in results):.0f}",
    ]


def verdict(low: float, high: float) -> str:
    """Return whether an interval of differences lies on one side of 0."""
    return "wins" if high < 0 else "loses" if low > 0 else "-"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--budget", type=float, default=20.0, help="in whole pipelines")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="end with the seeds done by then")
    options = parser.parse_args()
    print(machine.describe("optuna"))
    end = time.monotonic() + 60 * options.minutes
    found: dict[tuple[str, str, str, int], Result] = {}
    done = 0
    with ProcessPoolExecutor(options.processes) as pool:
        while done < options.seeds and (not done or time.monotonic() < end):
            jobs = [
                (shape, family, pruner, seed, options.budget)
                for seed in range(done, min(done + AT_ONCE, options.seeds))
                for shape, family in SCENARIOS
                for pruner in PRUNERS
            ]
            found |= dict(pool.map(study, jobs, chunksize=5))
            done = min(done + AT_ONCE, options.seeds)
    print(f"{done} seeds, a budget of {options.budget:g} pipelines or {MOST} trials")
    show(found, range(done), options.budget)


if __name__ == "__main__":
    main()
