"""Gaussian processes that know what is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import GPSampler
from optuna.trial import TrialState

from stagetree.search.stage_sampler import StageSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna import Study
    from optuna._gp.acqf import BaseAcquisitionFunc
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from stagetree.search.dependence import Dependence

ROUNDS = (1.0, 0.2, 0.05)
"""Widths, as shares of each range, in which later parameters are looked for around the best."""


class StageGPSampler(StageSampler, GPSampler):
    """Optuna's Gaussian process over a pipeline whose stages are shared between trials.

    Like :class:`~stagetree.search.stage_tpe.StageTPESampler` it takes over the parameters of an
    earlier trial's first stages where that is worth more; the acquisition function is then
    maximised over the later parameters of each of the best prefixes (EEIPU, R. Shahout et al.
    2024, arXiv 2411.03731, takes it per expected cost instead). The model has all parameters,
    those taken over too. Where ``dependence`` is unknown or the pipeline has one stage it is
    ``GPSampler``.

    Args:
        n_startup_trials: Random trials before the model is used.
        n_prefixes: How many of the best prefixes are compared.
        deterministic_objective: Whether equal parameters give equal values.
        seed: Seed of everything drawn.
        dependence: Which parameters each stage depends on.
    """

    def __init__(
        self,
        *,
        n_startup_trials: int = 10,
        n_prefixes: int = 8,
        deterministic_objective: bool = False,
        seed: int | None = None,
        dependence: Dependence | None = None,
    ) -> None:
        super().__init__(
            n_startup_trials=n_startup_trials,
            deterministic_objective=deterministic_objective,
            seed=seed,
            warn_independent_sampling=False,
        )
        self.dependence = dependence
        self._n_prefixes = n_prefixes
        self._prefixes: list[tuple[FrozenTrial, dict[str, Any]]] = []
        self._taken_over = {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the next trial that the model chose, those taken over too."""
        self._prefixes = []
        branch = self._branch(study, trial)
        if branch is not None and branch.depth:
            complete = sum(one.state == TrialState.COMPLETE for one in branch.finished)
            if complete < self._n_startup_trials or not search_space:
                self._take_over_any(branch, self._rng.rng)
            else:
                found = branch.candidates()
                whole = [one for one in found if search_space.keys() <= one.params.keys()]
                self._prefixes = [(one, branch.prefix(one)) for one in whole[: self._n_prefixes]]
        modelled = super().sample_relative(study, trial, search_space)
        # The model's numbers are rounded; a stage is shared only by exactly equal ones.
        return {name: self._taken_over.get(name, value) for name, value in modelled.items()}

    def _optimize_acqf(
        self, acqf: BaseAcquisitionFunc, best_params: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        if not self._prefixes:
            return np.asarray(super()._optimize_acqf(acqf, best_params))
        names = list(acqf.search_space._optuna_search_space)
        own = acqf.search_space.get_normalized_params([trial for trial, _ in self._prefixes])
        given = np.array([[name in prefix for name in names] for _, prefix in self._prefixes])
        each = max(2, self._n_preliminary_samples // len(ROUNDS) // len(own))
        best, values = own, np.full(len(own), -np.inf)  # not the trials themselves
        for width in ROUNDS:
            drawn = self._draw(acqf, best, given, width, each)
            found = acqf.eval_acqf_no_grad(drawn.reshape(-1, len(names))).reshape(len(own), each)
            better = found.max(axis=1) > values
            choice = drawn[np.arange(len(own)), found.argmax(axis=1)]
            best = np.where(better[:, None], choice, best)
            values = np.maximum(found.max(axis=1), values)
        chosen = int(values.argmax())
        self._taken_over = self._prefixes[chosen][1]
        return np.asarray(best[chosen])

    def _draw(
        self,
        acqf: BaseAcquisitionFunc,
        around: NDArray[np.float64],
        given: NDArray[np.bool_],
        width: float,
        count: int,
    ) -> NDArray[np.float64]:
        """Return points from a box around each of some, all but what is given drawn anew.

        What has steps or choices changes as often as the box is wide. The shape is (points, count,
        parameters).
        """
        space, rng = acqf.search_space, self._rng.rng
        drawn = space.sample_normalized_params(len(around) * count, rng=rng)
        drawn = drawn.reshape(len(around), count, -1)
        middle = np.broadcast_to(around[:, None], drawn.shape)
        if width < 1:
            stepped = np.where(rng.uniform(size=drawn.shape) < width, drawn, middle)
            near = np.clip(middle + width * (drawn - 0.5), 0.0, 1.0)
            drawn = np.where(space._steps > 0, stepped, near)  # a choice has a step, too
        return np.asarray(np.where(given[:, None], middle, drawn))
