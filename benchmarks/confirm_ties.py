"""How often ``stagetree confirm`` sees a winner where there is none, and where there is one.

Entity recognition is simulated: sentences of different difficulty, which all candidates share;
what a candidate is good at by itself, sentence by sentence; what a seed does to all candidates,
to one of them, and to single sentences. Four candidates (the default and three others) are
compared as the command does, in all six pairs. In a tie all four are exchangeable: any winner in
any pair is a false win. In a difference the last one is better on average over all sentences.

The columns set the test of ``confirm`` beside simpler ones on the same runs, each with Holm's
correction: t over seeds alone, the bootstrap over examples alone of the seeds' mean (Berg-
Kirkpatrick et al. 2012), and the percentile bootstrap over seeds and examples.

``selected`` is no tie of equals: three of 40 exchangeable trials that did best with one seed on
the very sentences they are confirmed on. What a trial is good at on these sentences stays with
it over all seeds; fresh seeds do not undo that choice, a test split does.

    python benchmarks/confirm_ties.py --ties 200
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from statsmodels.stats.multitest import multipletests

from machine import describe, table
from stagetree.report.resampling import resampled
from stagetree.report.statistics import LEVEL, Runs, compare
from stagetree.tasks.ner_examples import f1

NAMES = ("default", "trial 1", "trial 2", "trial 3")
PAIRS = list(combinations(NAMES, 2))


@dataclass(frozen=True)
class World:
    """What makes scores vary, as standard deviations of the log-odds that an entity is found.

    Attributes:
        sentences: How many there are.
        seeds: How many seeds each candidate is run with.
        own: Of a candidate on a sentence, with every seed.
        seed: Of a candidate with a seed, on all sentences.
        shared: Of a seed, for all candidates.
        single: Of a candidate with a seed on a sentence.
        gain: By how much the last candidate is better, in log-odds.
        trials: From how many the three others are chosen by one seed's score; 3: no choice.
    """

    sentences: int = 300
    seeds: int = 5
    own: float = 0.5
    seed: float = 0.1
    shared: float = 0.05
    single: float = 1.0
    gain: float = 0.0
    trials: int = 3


WORLDS = {
    "tie": World(),
    "tie, seeds vary much": World(seed=0.3),
    "tie, seeds vary little": World(seed=0.0, shared=0.0),
    "tie, few sentences": World(sentences=60),
    "tie, candidates differ much": World(own=1.0),
    "tie, 3 seeds": World(seeds=3),
    "tie, 10 seeds": World(seeds=10),
    "selected": World(trials=40),
    "gain 0.2": World(gain=0.2),
    "gain 0.4": World(gain=0.4),
    "gain 0.8": World(gain=0.8),
    "gain 0.4, 10 seeds": World(gain=0.4, seeds=10),
    "gain 0.4, 2000 sentences": World(gain=0.4, sentences=2000),
}
"""What is simulated; a new case is a new line."""


def simulate(world: World, rng: np.random.Generator) -> np.ndarray:
    """Return counts of right, predicted and gold: (candidates, seeds, sentences, 3)."""
    chosen = world.trials + 1
    seeds, sentences = world.seeds + 1, world.sentences  # the first seed is that of the study
    gold = 1 + rng.poisson(1.5, sentences)
    odds = (
        1.7
        + rng.normal(0, 1.2, sentences)
        + rng.normal(0, world.own, (chosen, 1, sentences))
        + rng.normal(0, world.seed, (chosen, seeds, 1))
        + rng.normal(0, world.shared, (1, seeds, 1))
    )
    odds[-1] += world.gain
    odds = odds + rng.normal(0, world.single, odds.shape)
    right = rng.binomial(gold, 1 / (1 + np.exp(-odds)))
    spurious = rng.poisson(0.25 / (1 + np.exp(odds - 1.7)))
    found = np.stack([right, right + spurious, np.broadcast_to(gold, right.shape)], axis=-1)
    if world.trials > 3:
        best = np.argsort(f1(found[1:, 0].sum(axis=1)))[-3:] + 1
        found = found[[0, *best]]
    return found[:, 1:]


def runs(counts: np.ndarray, replicates: int, seed: int) -> dict[str, Runs]:
    """Return the scores of the candidates, on these and on resampled sentences."""
    candidates, seeds, _, _ = counts.shape
    flat = counts.reshape(candidates * seeds, *counts.shape[2:])
    noise = resampled(list(flat), f1, replicates=replicates, seed=seed)
    noise = noise.reshape(replicates, candidates, seeds)
    scores = f1(counts.sum(axis=2))
    size = counts.shape[2]
    return {name: Runs(scores[at], noise[:, at], size) for at, name in enumerate(NAMES)}


def winners(found: dict[str, Runs]) -> dict[str, list[str | None]]:
    """Return by method who wins each pair, ``None`` where the two cannot be told apart."""
    told = compare(found, PAIRS, maximize=True)
    alone = {name: Runs(run.values) for name, run in found.items()}
    differences = [found[first].minus(found[second]) for first, second in PAIRS]
    examples = [
        _bootstrap_p(part.resampled.mean(axis=1))
        for part in differences
        if part.resampled is not None
    ]
    crossed = [_crossed_p(part) for part in differences]
    return {
        "confirm": [one.winner for one in told],
        "permutation": _holm([one.p_permutation for one in told], differences),
        "seeds": [one.winner for one in compare(alone, PAIRS, maximize=True)],
        "examples": _holm(examples, differences),
        "percentile": _holm(crossed, differences),
    }


def _bootstrap_p(means: np.ndarray) -> float:
    above = (1 + (means > 0).sum()) / (1 + len(means))
    below = (1 + (means < 0).sum()) / (1 + len(means))
    return float(min(1.0, 2 * min(above, below)))


def _crossed_p(difference: Runs) -> float:
    noise = difference.resampled
    assert noise is not None
    drawn = np.random.default_rng(1).integers(noise.shape[1], size=noise.shape)
    return _bootstrap_p(np.take_along_axis(noise, drawn, axis=1).mean(axis=1))


def _holm(p: Sequence[float], differences: Sequence[Runs]) -> list[str | None]:
    rejected = multipletests(p, alpha=LEVEL, method="holm")[0]
    return [
        pair[0 if difference.values.mean() > 0 else 1] if told else None
        for told, difference, pair in zip(rejected, differences, PAIRS, strict=True)
    ]


def measure(world: World, times: int, replicates: int, seed: int) -> dict[str, tuple[float, ...]]:
    """Return by method the share of simulations with any false win, and of true wins found.

    Without a gain every win is false; a gain makes wins of the last candidate over the default
    true, and all wins among the others false. The third number is the true difference in F1.
    """
    false: dict[str, int] = {}
    true: dict[str, int] = {}
    gaps = []
    for place in range(times):
        counts = simulate(world, np.random.default_rng([seed, place]))
        found = runs(counts, replicates, place)
        gaps.append(found[NAMES[-1]].values.mean() - found[NAMES[0]].values.mean())
        for method, won in winners(found).items():
            wrong = any(
                name is not None and not (world.gain and name == NAMES[-1] in pair)
                for name, pair in zip(won, PAIRS, strict=True)
            )
            right = won[PAIRS.index((NAMES[0], NAMES[-1]))] == NAMES[-1]
            false[method] = false.get(method, 0) + wrong
            true[method] = true.get(method, 0) + (bool(world.gain) and right)
    gap = float(np.mean(gaps))
    return {name: (false[name] / times, true[name] / times, gap) for name in false}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ties", type=int, default=200)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    start = time.perf_counter()
    methods: list[str] = []
    print(describe("numpy", "scipy", "statsmodels"))
    false, power = [], []
    for name, world in WORLDS.items():
        if options.only and name not in options.only:
            continue
        found = measure(world, options.ties, options.replicates, options.seed)
        methods = list(found)
        false.append([name, *(f"{wrong:.1%}" for wrong, _, _ in found.values())])
        if world.gain:
            gap = next(iter(found.values()))[2]
            hits = (f"{hit:.0%}" for _, hit, _ in found.values())
            power.append([name, f"{gap * 100:+.1f}", *hits])
        print(" ".join(false[-1]), *(power[-1][1:] if world.gain else []), flush=True)
    print(f"\n{options.ties} simulations a row, {time.perf_counter() - start:.0f} s\n")
    print(table(["any false win", *methods], false))
    print()
    print(table(["difference found", "F1 points", *methods], power))


if __name__ == "__main__":
    main()
