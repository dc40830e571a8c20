"""Comparing configurations over seeds and examples: intervals, tests, effect sizes.

Runs are crossed: every seed is scored on the same examples. A difference seen over seeds alone
may be luck of these examples, one seen over examples alone luck of these seeds. So the variance
of a mean over S seeds has two parts (Obuchowski and Rockette 1995, for readers and cases):

    seeds     s^2 / S, with s^2 the sample variance over the seeds
    examples  the mean covariance, over pairs of different seeds, of what resampling the examples
              does to them: the part that more seeds do not average out. It is an estimate,
              too, and widened by its own standard error

An interval reaches ``sqrt(t^2 seeds + z^2 examples)`` to both sides, with t of S - 1 degrees of
freedom and z of the normal distribution: each part with its own quantile (MOVER, Zou and Donner
2008). Common degrees of freedom (Hillis 2007) are too many where s^2 is small by chance.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05
"""Probability of any false win among all comparisons of tied candidates."""

_LEAST = 1e-12

_EXACT = 12
"""Up to so many seeds all sign patterns are gone through."""


@dataclass(frozen=True)
class Runs:
    """A candidate's scores.

    Attributes:
        values: (seeds,) its score with each seed.
        resampled: (replicates, seeds) the same on resampled examples; ``None`` where a score is
            not made of examples.
        examples: How many examples were resampled.
    """

    values: np.ndarray
    resampled: np.ndarray | None = None
    examples: int = 0

    def minus(self, other: Runs) -> Runs:
        """Return the differences, seed by seed and replicate by replicate."""
        both = self.resampled is not None and other.resampled is not None
        noise = self.resampled - other.resampled if both else None  # type: ignore[operator]
        return Runs(self.values - other.values, noise, self.examples if both else 0)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: The mean.
        deviation: Sample standard deviation over the seeds.
        low: Lower end of the interval that holds the true mean in 95 of 100 cases.
        high: Its upper end.
        seeds: How many seeds.
        of_seeds: Standard error by the choice of seeds.
        of_examples: Standard error by the choice of examples; 0 where none are known.
    """

    mean: float
    deviation: float
    low: float
    high: float
    seeds: int
    of_seeds: float
    of_examples: float

    def reach(self, level: float) -> float:
        """Return how far an interval reaches that leaves out the true mean at this level."""
        from scipy import special

        t = -special.stdtrit(self.seeds - 1, level / 2)
        z = -special.ndtri(level / 2)
        return float(np.hypot(t * self.of_seeds, z * self.of_examples))


@dataclass(frozen=True)
class Comparison:
    """Two candidates set against each other on the same seeds and examples.

    Attributes:
        first: Name of one.
        second: Name of the other.
        difference: Score of ``first`` less that of ``second``.
        bootstrap: Percentile interval of the difference over resampled seeds and examples.
        p_single: p of no difference, of this comparison alone.
        p: The same corrected for all comparisons by Holm (1979).
        p_permutation: p of exchanging the two seed by seed, of this comparison alone.
        effect: Paired Cohen's d over seeds; infinite where no seed differs from the others.
        superiority: Probability that one run of ``first`` is better than one of ``second``.
        superiority_low: Lower end of its 95 % interval.
        superiority_high: Upper end.
        winner: Name of the better one, or ``None`` when they cannot be told apart.
    """

    first: str
    second: str
    difference: Estimate
    bootstrap: tuple[float, float]
    p_single: float
    p: float
    p_permutation: float
    effect: float
    superiority: float
    superiority_low: float
    superiority_high: float
    winner: str | None


def estimate(runs: Runs, level: float = LEVEL) -> Estimate:
    """Return the mean over seeds with its interval.

    Raises:
        ValueError: There are fewer than two seeds.
    """
    count = len(runs.values)
    if count < 2:
        raise ValueError(f"expected at least two seeds but got {count}")
    mean, deviation = float(np.mean(runs.values)), float(np.std(runs.values, ddof=1))
    of_examples = _of_examples(runs) ** 0.5
    found = Estimate(mean, deviation, mean, mean, count, deviation / count**0.5, of_examples)
    reach = found.reach(level)
    return dataclasses.replace(found, low=mean - reach, high=mean + reach)


def _of_examples(runs: Runs) -> float:
    """Return the variance that different seeds share over replicates, with a margin.

    The margin is about one standard error: of few examples the share is known badly, and one
    that is taken too small makes false wins.
    """
    if runs.resampled is None:
        return 0.0
    found = np.cov(runs.resampled, rowvar=False)
    count = len(found)
    shared = float((found.sum() - np.trace(found)) / (count * (count - 1)))
    whole = float(found.sum() / count**2)
    return float(max(0.0, shared) + whole * (2 / runs.examples) ** 0.5)


def p_value(found: Estimate) -> float:
    """Return the two-sided p of a true mean of zero: the level whose interval ends there.

    It is never told smaller than 1e-12.
    """
    from scipy import optimize

    seen = abs(found.mean)
    if not found.of_seeds and not found.of_examples:  # the same with every seed: a fact
        return _LEAST if seen else 1.0
    if found.reach(_LEAST) <= seen:
        return _LEAST
    if not seen:
        return 1.0
    place = optimize.brentq(lambda at: found.reach(10.0**at) - seen, np.log10(_LEAST), 0.0)
    return float(10.0**place)


def permutation_p(difference: Runs) -> float:
    """Return the p of exchanging two candidates seed by seed (Pitman 1937, Dror et al. 2018).

    The mean difference is set against all those with signs flipped seed by seed; what resampling
    the examples does to the mean is added to each. Without examples this is the exact sign-flip
    test. It can be no smaller than 2 / 2^seeds without examples, half of it with.
    """
    values, count = difference.values, len(difference.values)
    if count <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), size=(2**_EXACT, count))
        signs[0] = 1.0
    flipped = signs @ values / count
    shift = np.zeros(1)
    if difference.resampled is not None:
        shift = difference.resampled.mean(axis=1)
        shift = np.sort(shift - shift.mean())
    seen = abs(float(np.mean(values))) * (1 - 1e-9)
    above = len(shift) - np.searchsorted(shift, seen - flipped, side="left")
    below = np.searchsorted(shift, -seen - flipped, side="right")
    outside = np.minimum(above + below, len(shift))
    return float(outside.sum() / (len(flipped) * len(shift)))


def compare(
    candidates: Mapping[str, Runs], pairs: Sequence[tuple[str, str]], *, maximize: bool
) -> list[Comparison]:
    """Compare pairs of candidates; at most 5 in 100 families of ties have any false win.

    Args:
        candidates: Scores by name, of the same seeds in the same order.
        pairs: Names to compare.
        maximize: Whether more is better.
    """
    from statsmodels.stats.multitest import multipletests

    if not pairs:
        return []
    differences = [candidates[first].minus(candidates[second]) for first, second in pairs]
    estimates = [estimate(difference) for difference in differences]
    singles = [p_value(found) for found in estimates]
    rejected, corrected, *_ = multipletests(singles, alpha=LEVEL, method="holm")
    return [
        _comparison(
            pair, difference, found, (single, float(p)), maximize=maximize, told=bool(reject)
        )
        for pair, difference, found, single, p, reject in zip(
            pairs, differences, estimates, singles, corrected, rejected, strict=True
        )
    ]


def _comparison(
    pair: tuple[str, str],
    difference: Runs,
    found: Estimate,
    p: tuple[float, float],
    *,
    maximize: bool,
    told: bool,
) -> Comparison:
    first, second = pair
    ahead = first if (found.mean > 0) == maximize else second
    superiority, interval, bootstrap = _superiority(difference, maximize=maximize)
    same = found.mean == 0
    effect = found.mean / found.deviation if found.deviation else (0.0 if same else float("inf"))
    return Comparison(
        first=first,
        second=second,
        difference=found,
        bootstrap=bootstrap,
        p_single=p[0],
        p=p[1],
        p_permutation=permutation_p(difference),
        effect=effect if maximize else -effect,
        superiority=superiority,
        superiority_low=interval[0],
        superiority_high=interval[1],
        winner=ahead if told else None,
    )


def _superiority(
    difference: Runs, *, maximize: bool, replicates: int = 2000
) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Return P(first > second), its interval, and the interval of the difference.

    Both intervals are percentiles over replicates that draw the seeds with replacement and the
    examples once for all of them (Owen 2007; Bouthillier et al. 2021, appendix C.5).
    """
    values, noise = difference.values, difference.resampled
    replicates = replicates if noise is None else len(noise)
    drawn = np.random.default_rng(1).integers(len(values), size=(replicates, len(values)))
    rows = np.broadcast_to(values, (replicates, len(values))) if noise is None else noise
    draws = np.take_along_axis(rows, drawn, axis=1)
    sign = 1.0 if maximize else -1.0
    better = (np.sign(sign * draws) + 1) / 2  # a tie counts half
    point = float(np.mean((np.sign(sign * values) + 1) / 2))
    return point, _percentiles(better.mean(axis=1)), _percentiles(draws.mean(axis=1))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)
