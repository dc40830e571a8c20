"""How long something takes, learnt from how long others took: a regression of log seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stagetree.pipeline.columns import Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = 0.15
"""Standard deviation of log seconds among equal runs, as far as the data do not say."""

EXPONENT = 0.25
"""Likewise of the exponent with which seconds grow with a number."""

ENOUGH = 2
"""So many rows more than groups are needed before a slope is learnt from them."""


class LogRegression:
    """Learns the seconds that something takes from named numbers and choices.

    With one row or two it says what was expected, scaled to the mean of what was seen; with more
    it learns what the expectation does not know, each row's deviation at a time. It is a Bayesian
    linear regression of the logarithm of seconds over what was expected (D. J. C. MacKay,
    Bayesian interpolation, Neural Computation 1992), on logarithms of numbers, so that a weight
    is an exponent with a prior around 0. A fit of 500 rows takes some 5 ms.

    Slopes are learnt within groups (of one machine, one data set) and shared by all of them.
    """

    def fit(
        self,
        features: Sequence[Mapping[str, object]],
        seconds: Sequence[float],
        *,
        expected: Sequence[float] | None = None,
        groups: Sequence[object] | None = None,
    ) -> LogRegression:
        """Learn from rows.

        Args:
            features: Named values of each row; a name may be missing or ``None`` in some.
            seconds: What each row took, above 0.
            expected: What each row would take by a known rule, up to a common factor; 1 each
                without.
            groups: What each row's group is; without, all are one group.

        Returns:
            Itself.

        Raises:
            ValueError: There are no rows.
        """
        if not len(features):
            raise ValueError("expected at least one row to learn from but got none")
        self._columns = Columns(features)
        self._rows = self._columns(features)
        rule = np.ones(len(features)) if expected is None else np.asarray(expected, dtype=float)
        self._factors = np.asarray(seconds, dtype=float) / rule
        _, self._group = np.unique(
            [repr(group) for group in groups or [None] * len(features)], return_inverse=True
        )
        self._learn()
        return self

    def predict(
        self,
        features: Sequence[Mapping[str, object]],
        *,
        expected: Sequence[float] | None = None,
        like: Sequence[int] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean seconds of rows, and the standard deviations of their logarithm.

        Args:
            features: Named values of each row.
            expected: What each would take by the known rule, up to the factor of ``fit``.
            like: Which learnt rows, by position, are of the group that these are of; without,
                all.
        """
        near = np.arange(len(self._rows)) if like is None else np.asarray(like)
        centre = self._rows[near].mean(axis=0)
        bend = np.exp((centre - self._rows[near]) @ self._weights)
        away = self._columns(features) - centre
        rule = np.ones(len(features)) if expected is None else np.asarray(expected, dtype=float)
        mean = rule * (self._factors[near] * bend).mean() * np.exp(away @ self._weights)
        doubt = np.einsum("ij,jk,ik->i", away, self._covariance, away)
        return mean, np.sqrt(self._noise * (1 + 1 / len(near)) + doubt)

    def _learn(self) -> None:
        rows = self._within(self._rows)
        excess = self._within(np.log(self._factors)[:, None])[:, 0]
        free = len(rows) - (self._group.max() + 1)
        if free < ENOUGH:
            self._weights = np.zeros(rows.shape[1])
            self._covariance = np.eye(rows.shape[1]) * EXPONENT**2
            self._noise = (excess @ excess + 2 * NOISE**2) / (free + 2)
            return
        from sklearn.linear_model import BayesianRidge

        model: Any = BayesianRidge(
            fit_intercept=False, alpha_1=1.0, alpha_2=NOISE**2, lambda_1=1.0, lambda_2=EXPONENT**2
        )
        model.fit(rows, excess)
        self._weights, self._covariance = model.coef_, model.sigma_
        self._noise = len(rows) / free / model.alpha_

    def _within(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values less the mean of their group."""
        sums = np.zeros((self._group.max() + 1, values.shape[1]))
        np.add.at(sums, self._group, values)
        return values - (sums / np.bincount(self._group)[:, None])[self._group]
