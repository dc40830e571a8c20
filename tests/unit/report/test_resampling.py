import numpy as np
import pytest

from stagetree.report.resampling import resampled


def share(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def tallies(right: np.ndarray) -> np.ndarray:
    return np.stack([right, np.ones_like(right)], axis=-1)


def test_the_spread_of_a_share_is_that_of_the_binomial() -> None:
    right = (np.arange(400) % 4 > 0).astype(np.int64)
    found = resampled([tallies(right)], share, replicates=4000)
    assert found.shape == (4000, 1)
    assert found.mean() == pytest.approx(0.75, abs=0.002)
    assert found.std() == pytest.approx((0.75 * 0.25 / 400) ** 0.5, rel=0.05)


def test_all_runs_see_the_same_draws() -> None:
    right = np.random.default_rng(3).integers(0, 2, 50)
    found = resampled([tallies(right), tallies(right), tallies(1 - right)], share, replicates=20)
    assert np.array_equal(found[:, 0], found[:, 1])
    assert found[:, 0] + found[:, 2] == pytest.approx(np.ones(20))
    assert np.array_equal(found[:, :1], resampled([tallies(right)], share, replicates=20))


def test_runs_of_different_examples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the same examples but got \[2, 3\]"):
        resampled([tallies(np.ones(2)), tallies(np.ones(3))], share)
