"""TPE that knows what is paid for: it goes on from stored results where that is worth more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _MixtureOfProductDistribution,
)
from optuna.samplers._tpe.sampler import _split_trials, default_gamma

from stagetree.search.stage_sampler import Branch, StageSampler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from stagetree.search.dependence import Dependence

Space = dict[str, "BaseDistribution"]


class StageTPESampler(StageSampler, TPESampler):
    """Optuna's multivariate TPE over a pipeline whose stages are shared between trials.

    Each trial either draws all parameters or takes over those of an earlier trial's first stages,
    whose results are stored, and draws only the later ones: how far is told by what the stages
    cost (:class:`~stagetree.search.paid.Paid`). All candidates of a trial then have the same
    stages left to compute, and the one with the greatest expected improvement is run. The later
    parameters are drawn from TPE's density of good trials *given* those taken over.

    The idea of paying only for what is not memoised is from EEIPU (R. Shahout et al. 2024,
    arXiv 2411.03731) and LaMBO (J. Lin et al. 2020, arXiv 2006.02624), that of expected
    improvement in TPE from S. Watanabe 2023 (arXiv 2304.11127).

    Where ``dependence`` is unknown, the pipeline has one stage, or no costs are known yet, it is
    ``TPESampler(multivariate=True, constant_liar=True)`` to the digit. It learns costs from the
    stages that trials note (:func:`~stagetree.search.notes.stages_done`).

    Args:
        n_startup_trials: Random trials before the model is used.
        n_ei_candidates: Points the model proposes and compares; twice as many where trials share
            stages at all.
        n_prefixes: How many of the best prefixes are compared.
        group: Whether parameters that exist together are modelled in groups of their own.
        seed: Seed of everything drawn.
        dependence: Which parameters each stage depends on.

    Example:
        >>> import optuna
        >>> stages = {"finetune": frozenset({"rate"}), "distill": frozenset({"rate", "t"})}
        >>> sampler = StageTPESampler(seed=0, dependence=stages)
        >>> study = optuna.create_study(sampler=sampler)
    """

    def __init__(
        self,
        *,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        n_prefixes: int = 8,
        group: bool = False,
        seed: int | None = None,
        dependence: Dependence | None = None,
    ) -> None:
        super().__init__(
            n_startup_trials=n_startup_trials,
            n_ei_candidates=n_ei_candidates,
            multivariate=True,
            group=group,
            constant_liar=True,
            seed=seed,
        )
        self.dependence = dependence
        self._n_prefixes = n_prefixes
        self._taken_over: dict[str, Any] = {}
        self._chosen: dict[str, Any] | None = None

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        """Return the parameters of the next trial that the model chose, those taken over too."""
        self._chosen = None
        branch = self._branch(study, trial)
        self._parzen_estimator_cls = _ParzenEstimator if branch is None else _Smooth
        if branch is not None:
            if len(branch.finished) >= self._n_startup_trials and search_space:
                self._choose(study, search_space, branch)
            elif branch.depth:
                self._take_over_any(branch, self._rng.rng)
        return super().sample_relative(study, trial, search_space)

    def _sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        if self._chosen is None:
            return super()._sample_relative(study, trial, search_space)
        return {name: self._chosen[name] for name in search_space}

    def _choose(self, study: Study, space: Space, branch: Branch) -> None:
        """Choose what to take over, if anything, and what follows it, by the model."""
        found = branch.candidates(self._n_prefixes) if branch.depth else []
        prefixes = [branch.prefix(one) for one in found] or [{}]
        split = _split_trials(study, branch.trials, default_gamma(len(branch.finished)))
        each = max(1, 2 * self._n_ei_candidates // len(prefixes))
        gains = np.zeros((len(prefixes), each))
        points: list[list[dict[str, Any]]] = [[{} for _ in range(each)] for _ in prefixes]
        for part in self._parts(space):
            proposed, own = self._propose(study, part, *split, prefixes, each)
            applies = [part.keys() <= one.params.keys() for one in found] or [True]
            gains += np.where(np.array(applies)[:, None], own, 0.0)
            points = [
                [{**point, **more} for point, more in zip(*rows, strict=True)]
                for rows in zip(points, proposed, strict=True)
            ]
        every = [
            {**prefix, **point}
            for prefix, row in zip(prefixes, points, strict=True)
            for point in row
        ]
        gains -= self._dearness(branch, every).reshape(gains.shape)
        best = int(gains.argmax())
        self._taken_over = prefixes[best // each]
        self._chosen = {name: every[best][name] for name in space}

    def _dearness(self, branch: Branch, points: list[dict[str, Any]]) -> NDArray[np.float64]:
        """Return how much the expected cost of points takes from their logarithmic improvement.

        At first that is improvement per second; it cools down with the trials, as in EEIPU, for
        a late search should pay for what is better, not take what is cheap.
        """
        seconds = branch.paid.remaining(points, branch.depth)
        if seconds is None:
            return np.zeros(len(points))
        cooling = self._n_startup_trials / max(1, self._n_startup_trials, len(branch.finished))
        return np.asarray(cooling * np.log(seconds / seconds.mean()))

    def _parts(self, space: Space) -> list[Space]:
        """Return the parameters that are modelled together, group by group."""
        if not self._group or self._search_space_group is None:
            return [space]
        groups = self._search_space_group.search_spaces
        parts = [{name: space[name] for name in sorted(group) if name in space} for group in groups]
        return [part for part in parts if part]

    def _propose(
        self,
        study: Study,
        space: Space,
        below: list[FrozenTrial],
        above: list[FrozenTrial],
        prefixes: Sequence[Mapping[str, Any]],
        each: int,
    ) -> tuple[list[list[dict[str, Any]]], NDArray[np.float64]]:
        """Return values that go with each prefix, and how good they are, the best ones first."""
        good = self._build_parzen_estimator(study, space, below, handle_below=True)
        bad = self._build_parzen_estimator(study, space, above, handle_below=False)
        samples = good._untransform(_draw_given(good, space, prefixes, each, self._rng.rng))
        gains = self._compute_acquisition_func(samples, good, bad).reshape(len(prefixes), each)
        order = gains.argsort(axis=1)[:, ::-1]
        values = [
            [
                {
                    name: prefix.get(name, one.to_external_repr(samples[name][place].item()))
                    for name, one in space.items()
                }
                for place in own + row * each
            ]
            for row, (prefix, own) in enumerate(zip(prefixes, order, strict=True))
        ]
        return values, np.take_along_axis(gains, order, axis=1)


class _Smooth(_ParzenEstimator):
    """Kernels as wide as their number and dimensions say, not their neighbours.

    Optuna makes a kernel as wide as the gap to its neighbours, which is none for values that
    trials share. The width here is the rule for a product of normal kernels (D. W. Scott,
    Multivariate Density Estimation, 1992, eq. 6.42) over a fifth of the range.
    """

    def _calculate_numerical_distributions(
        self, observations: NDArray[np.float64], search_space: Any, parameters: Any
    ) -> Any:
        found: Any = super()._calculate_numerical_distributions(
            observations, search_space, parameters
        )
        count, width = len(observations), found.adapted_high - found.adapted_low
        rule = 0.2 * max(count, 1) ** (-1 / (len(self._search_space) + 4))
        widths = np.full(count + 1, width * max(rule, 1 / min(100, 2 + count)))
        widths[-1] = width  # the prior
        return found._replace(sigma=widths)


def _draw_given(
    density: _ParzenEstimator,
    space: Space,
    prefixes: Sequence[Mapping[str, Any]],
    count: int,
    rng: np.random.RandomState,
) -> NDArray[np.float64]:
    """Draw points with given values for some parameters, the others from the density given those.

    Each kernel of the mixture weighs as much as it explains the given values.

    Returns:
        ``count`` points for each prefix, one after the other.
    """
    mixture, names = density._mixture_distribution, list(space)
    drawn = np.empty((len(prefixes) * count, len(names)))
    for given, places in _by_names(prefixes, names).items():
        free = [one for one in range(len(names)) if one not in given]
        points = np.array(
            [
                [space[names[one]].to_internal_repr(prefixes[place][names[one]]) for one in given]
                for place in places
            ]
        )
        for place, point, weights in zip(
            places, points, _weights_given(mixture, given, points), strict=True
        ):
            rows = slice(place * count, (place + 1) * count)
            drawn[rows, given] = point
            if free:
                own = [mixture.distributions[one] for one in free]
                drawn[rows, free] = _MixtureOfProductDistribution(weights, own).sample(rng, count)
    return drawn


def _by_names(
    prefixes: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[tuple[int, ...], list[int]]:
    """Return the places of prefixes by those of the parameters that they give."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place, prefix in enumerate(prefixes):
        given = tuple(one for one, name in enumerate(names) if name in prefix)
        found.setdefault(given, []).append(place)
    return found


def _weights_given(
    mixture: _MixtureOfProductDistribution, given: Sequence[int], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weight of each kernel given each point, of shape (points, kernels)."""
    if not given:
        return np.tile(mixture.weights, (len(points), 1))
    own = [mixture.distributions[one] for one in given]
    explained = [
        _MixtureOfProductDistribution(np.ones(1), [_kernel(one, kernel) for one in own])
        for kernel in range(len(mixture.weights))
    ]
    logs = np.log(mixture.weights) + np.stack([one.log_pdf(points) for one in explained], axis=1)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _kernel(distribution: Any, number: int) -> Any:
    """Return one kernel of a batch."""
    one = slice(number, number + 1)
    if isinstance(distribution, _BatchedCategoricalDistributions):
        return distribution._replace(weights=distribution.weights[one])
    return distribution._replace(mu=distribution.mu[one], sigma=distribution.sigma[one])
