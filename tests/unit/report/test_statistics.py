from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stagetree.report.resampling import resampled
from stagetree.report.statistics import Runs, compare, estimate, p_value, permutation_p

A = np.array([0.81, 0.84, 0.79, 0.83, 0.86])
B = np.array([0.80, 0.80, 0.80, 0.79, 0.82])
NAMES = ("default", "trial 1", "trial 2", "trial 3")
PAIRS = list(combinations(NAMES, 2))


def test_without_examples_it_is_the_paired_t_test() -> None:
    found = estimate(Runs(A).minus(Runs(B)))
    known = stats.ttest_rel(A, B)
    assert p_value(found) == pytest.approx(known.pvalue, rel=1e-6)
    interval = known.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_without_a_difference_between_seeds_it_is_the_normal_test_over_examples() -> None:
    noise = np.random.default_rng(0).normal(0.02, 0.01, (500, 1)) * np.ones(4)
    found = estimate(Runs(np.full(4, 0.02), noise, 10**9))
    z = 0.02 / noise[:, 0].std(ddof=1)
    assert p_value(found) == pytest.approx(2 * stats.norm.sf(z), rel=1e-3)
    assert found.high - found.mean == pytest.approx(1.96 * noise[:, 0].std(ddof=1), rel=1e-3)


def test_noise_of_examples_that_seeds_average_out_is_counted_once() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(0, 0.01, (4000, 5))
    found = estimate(Runs(A - B, own, 10**6))
    assert found.of_examples < 0.002
    shared = estimate(Runs(A - B, own + rng.normal(0, 0.02, (4000, 1)), 10**6))
    assert shared.of_examples == pytest.approx(0.02, rel=0.05)
    assert shared.of_seeds == found.of_seeds


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=8).filter(lambda seen: np.ptp(seen) > 1e-3),
    st.floats(0, 1),
)
def test_p_is_the_level_whose_interval_ends_at_zero(seen: list[float], noise: float) -> None:
    draws = np.linspace(-noise, noise, 50)[:, None] * np.ones(len(seen))
    found = estimate(Runs(np.array(seen), draws, 200))
    p = p_value(found)
    assert 0 < p <= 1
    if 1e-11 < p < 1 - 1e-9:
        assert found.reach(p) == pytest.approx(abs(found.mean), rel=1e-6)


def test_one_seed_says_nothing() -> None:
    with pytest.raises(ValueError, match="at least two seeds but got 1"):
        estimate(Runs(np.array([0.5])))


def test_the_permutation_test_is_exact() -> None:
    known = stats.permutation_test(
        (A, B), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert permutation_p(Runs(A - B)) == pytest.approx(known.pvalue)
    assert permutation_p(Runs(np.full(5, 0.1))) == pytest.approx(2 / 32)
    noise = np.random.default_rng(0).normal(0, 1, (200, 5))
    assert permutation_p(Runs(A - B, noise)) > 0.5


def test_p_is_corrected_for_all_comparisons_by_holm() -> None:
    rng = np.random.default_rng(2)
    runs = {name: Runs(rng.normal(0.8, 0.02, 5)) for name in NAMES}
    found = sorted(compare(runs, PAIRS, maximize=True), key=lambda one: one.p_single)
    wanted, worst = [], 0.0
    for place, one in enumerate(found):
        worst = max(worst, min(1.0, one.p_single * (len(found) - place)))
        wanted.append(worst)
    assert [one.p for one in found] == pytest.approx(wanted)
    assert compare(runs, [], maximize=True) == []


def test_less_is_better_where_the_objective_says_so() -> None:
    runs = {"a": Runs(A), "b": Runs(A - np.array([0.2, 0.21, 0.2, 0.19, 0.2]))}
    (up,) = compare(runs, [("a", "b")], maximize=True)
    (down,) = compare(runs, [("a", "b")], maximize=False)
    assert (up.winner, down.winner) == ("a", "b")
    assert (up.superiority, down.superiority) == (1.0, 0.0)
    assert up.difference == down.difference
    assert up.effect == -down.effect > 0
    (turned,) = compare(runs, [("b", "a")], maximize=True)
    assert turned.winner == "a"
    assert turned.p == up.p
    assert turned.bootstrap == pytest.approx((-up.bootstrap[1], -up.bootstrap[0]))


def test_a_difference_that_no_seed_changes_is_a_fact_and_none_is_none() -> None:
    sizes = {"a": Runs(np.full(3, 10.0)), "b": Runs(np.full(3, 20.0)), "c": Runs(np.full(3, 10.0))}
    first, second = compare(sizes, [("a", "b"), ("a", "c")], maximize=False)
    assert (first.winner, second.winner, second.p) == ("a", None, 1.0)
    assert second.superiority == 0.5


def accuracy(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def simulated(rng: np.random.Generator, gain: float = 0.0) -> dict[str, Runs]:
    """Return four candidates of five seeds on 150 examples of different difficulty.

    All are equally good on average but for a gain of the last; each has examples that suit it
    with every seed, and seeds that suit it.
    """
    odds = (
        1.0
        + rng.normal(0, 1.5, 150)
        + rng.normal(0, 0.7, (4, 1, 150))
        + rng.normal(0, 0.15, (4, 5, 1))
        + np.array([0, 0, 0, gain])[:, None, None]
    )
    right = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
    tallies = np.stack([right, np.ones_like(right)], axis=-1).astype(np.int64)
    noise = resampled(list(tallies.reshape(20, 150, 2)), accuracy, replicates=200)
    noise = noise.reshape(200, 4, 5)
    values = right.mean(axis=2)
    return {name: Runs(values[at], noise[:, at], 150) for at, name in enumerate(NAMES)}


@pytest.mark.thorough
def test_ties_have_a_winner_at_most_five_times_in_a_hundred() -> None:
    false = sum(
        any(one.winner for one in compare(simulated(rng), PAIRS, maximize=True))
        for rng in map(np.random.default_rng, range(60))
    )
    assert false <= 3


def test_a_real_difference_is_found() -> None:
    wins = [
        {(one.first, one.second): one.winner for one in compare(runs, PAIRS, maximize=True)}
        for runs in (simulated(np.random.default_rng(seed), gain=1.5) for seed in range(10))
    ]
    assert sum(won["default", "trial 3"] == "trial 3" for won in wins) >= 9
