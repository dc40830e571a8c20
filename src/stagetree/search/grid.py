"""Every point of a discrete space once, whoever asks and how often the study is reopened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler

from stagetree.search.tree_order import chosen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from stagetree.search.space import Space
    from stagetree.search.tree_order import TreeOrder


class GridSampler(BaseSampler):
    """Gives each new trial the next point that no trial of the study has.

    The points come in the order of the command line, the last key varying fastest, as Hydra's
    own sweeper gives them, or in that of the stage tree. Unlike Optuna's sampler of this name it
    keeps no list of its own: what was visited is read from the study. Asking must be serialised
    between workers, as :class:`~stagetree.search.places.Places` does.

    Args:
        space: A discrete space.
        forgiven: Numbers of trials whose points are free again.
        order: Chooses among the free points; without, the first one is next.
    """

    def __init__(
        self, space: Space, forgiven: Collection[int] = (), order: TreeOrder | None = None
    ) -> None:
        self._space = space
        self._forgiven = forgiven
        self._order = order

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: a point is taken as one."""
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next free point that agrees with what the trial has already.

        Raises:
            ValueError: Every point is taken.
        """
        others = [
            other for other in study.get_trials(deepcopy=False) if other.number != trial.number
        ]
        names = self._space.distributions
        has = {name: value for name, value in known_params(trial).items() if name in names}
        point = chosen(self._free(has, others), others, self._order)
        if point is not None:
            return dict(point)
        raise ValueError(f"expected a free point but all {self._space.size} of the grid are taken")

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse: a parameter outside the grid has no next value.

        Raises:
            ValueError: Always.
        """
        known = ", ".join(self._space.distributions)
        raise ValueError(f"expected a parameter of the grid ({known}) but got {param_name!r}")

    def _free(
        self, has: Mapping[str, Any], others: Sequence[FrozenTrial]
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the free points that agree with what a trial has already, in order."""
        taken = {
            self._positions(known_params(other))
            for other in others
            if other.number not in self._forgiven
        }
        for point in self._space.points:
            fits = all(name in point and point[name] == value for name, value in has.items())
            if fits and self._positions(point) not in taken:
                yield point

    def _positions(self, params: Mapping[str, Any]) -> tuple[int, ...] | None:
        """Return a point as positions in the choices; ``None`` when it is not on the grid.

        A parameter that does not exist there has the position -1.
        """
        try:
            return tuple(
                parameter.position(params[parameter.name]) if parameter.exists(params) else -1
                for parameter in self._space.parameters
            )
        except (KeyError, ValueError):
            return None


def known_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters that a trial has or, enqueued, will have."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}
