"""Samplers and pruners from their configuration, seeded so that a resumed study goes on alike."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler

from stagetree.core.errors import ConfigError, Fault
from stagetree.core.reporting import SEEDS
from stagetree.search import custom
from stagetree.search.across_pruner import AcrossStagesPruner
from stagetree.search.batch import LARGEST, Batch, BatchSampler
from stagetree.search.grid import GridSampler
from stagetree.search.stage_pruner import StageAwarePruner
from stagetree.search.stage_tpe import StageTPESampler
from stagetree.search.tree_order import Order, TreeOrder
from stagetree.search.zipping import ZippedSampler

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stagetree.search.dependence import Dependence
    from stagetree.search.space import Space

GRID = f"{GridSampler.__module__}.{GridSampler.__qualname__}"
STAGE_TPE = f"{StageTPESampler.__module__}.{StageTPESampler.__qualname__}"
TPE = {
    "_target_": "optuna.samplers.TPESampler",
    "n_startup_trials": 10,
    "n_ei_candidates": 24,
    "multivariate": True,
    "constant_liar": True,
}


_SEEN = {"_search_space", "_group_decomposed_search_space"}
"""Where Optuna's samplers keep which parameters the trials of a study have, all of them alike."""


def choose(node: Mapping[str, Any] | None, space: Space) -> dict[str, Any]:
    """Return the sampler's configuration, choosing one where none is named.

    Without a choice a discrete space is walked point by point and any other searched by TPE
    (Watanabe 2023, https://arxiv.org/abs/2304.11127). Where parameters exist in some points only,
    a multivariate TPE models those that exist together in groups, unless told otherwise.

    Raises:
        ConfigError: The grid sampler was chosen for a space with an interval, or the sampler
            cannot be built.
    """
    if not node or not node.get("_target_"):
        return {"_target_": GRID} if space.discrete else _grouped(TPE, space)
    chosen = {str(key): value for key, value in node.items()}
    if chosen["_target_"] == "optuna.samplers.GridSampler":
        chosen = {"_target_": GRID}
    if chosen["_target_"] == GRID and not space.discrete:
        raise ConfigError(_unlisted(space))
    chosen = _grouped(chosen, space)
    build_sampler(chosen, space, seed=0, number=0)
    return chosen


def _grouped(node: Mapping[str, Any], space: Space) -> dict[str, Any]:
    multivariate = node["_target_"] == TPE["_target_"] and node.get("multivariate")
    if space.conditional and (multivariate or node["_target_"] == STAGE_TPE):
        return {"group": True, **node}
    return dict(node)


def build_sampler(
    node: Mapping[str, Any],
    space: Space,
    seed: int,
    number: int,
    forgiven: Collection[int] = (),
    dependence: Dependence | None = None,
    order: TreeOrder | None = None,
) -> BaseSampler:
    """Build the sampler that trial ``number`` is asked from.

    It is built anew for every trial, seeded by the study's seed and the trial's number: what it
    draws depends on the trials before only, not on how often the study was restarted.

    Args:
        node: The sampler's configuration.
        space: The search space.
        seed: The study's seed.
        number: The trial's number.
        forgiven: Numbers of trials whose points a grid visits again.
        dependence: Which parameters each stage depends on, for samplers that want to know.
        order: Chooses among the free points of a grid.

    Raises:
        ConfigError: ``_target_`` is no sampler, or refuses its options.
    """
    if node["_target_"] == GRID:
        return GridSampler(space, forgiven, order)
    drawn = derive_seed(seed, number)
    options: dict[str, Any] = {}
    try:
        kind = get_class(str(node["_target_"]))
        known = inspect.signature(kind).parameters
        if issubclass(kind, QMCSampler):  # one sequence for the study; its place is in the storage
            options = {"seed": seed, "independent_sampler": RandomSampler(seed=drawn)}
        elif "seed" in known:
            options = {"seed": drawn}
        sampler = _instantiate({**node, **options})
    except (HydraException, TypeError, ValueError, ImportError) as error:
        raise ConfigError([Fault("hydra.sweeper.sampler", _cause(error))]) from error
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(
            [Fault("hydra.sweeper.sampler", f"expected an Optuna sampler but got {sampler!r}")]
        )
    if dependence is not None and hasattr(sampler, "dependence"):
        sampler.dependence = dependence
    return ZippedSampler(sampler, space, drawn) if space.zips else sampler


def wants_dependence(node: Mapping[str, Any]) -> bool:
    """Return whether a sampler wants to know which parameters each stage depends on."""
    return hasattr(get_class(str(node["_target_"])), "dependence")


def is_batch(node: Mapping[str, Any], space: Space) -> bool:
    """Return whether a search draws points of a discrete space without looking at scores."""
    return space.discrete and get_class(str(node["_target_"])) is RandomSampler


def knows_points(node: Mapping[str, Any], space: Space) -> bool:
    """Return whether all points of a search are known before its first trial."""
    return node["_target_"] == GRID or is_batch(node, space)


class Samplers:
    """Gives every trial its sampler; what one found out about the space, the next one knows.

    Samplers look at every trial of a study once for the parameters that it has. A new sampler for
    each trial would do so again and again: 20 ms of 60 in a study of 10,000 trials.

    Args:
        node: The sampler's configuration.
        space: The search space.
        seed: The study's seed.
        forgiven: Numbers of trials whose points a grid visits again.
        dependence: Which parameters each stage depends on, for samplers that want to know.
        total: How many trials the study shall have, if that is known.
        order: In which order points known beforehand are taken.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        space: Space,
        seed: int,
        forgiven: Collection[int] = (),
        dependence: Dependence | None = None,
        total: int | None = None,
        order: Order = Order.line,
    ) -> None:
        self._node = node
        self._space = space
        self._seed = seed
        self._forgiven = forgiven
        self._dependence = dependence
        self._seen: dict[str, Any] = {}
        self._order: TreeOrder | None = None
        if dependence is not None and order is not Order.line:
            self._order = TreeOrder(dependence, ahead=order is Order.ahead)
        batched = is_batch(node, space) and total is not None and total <= LARGEST
        self._batch = Batch(space, self._built, total, self._order) if batched and total else None

    def __call__(self, number: int) -> BaseSampler:
        """Return the sampler of trial ``number``; see :func:`build_sampler`."""
        sampler = self._built(number)
        own = vars(sampler.within if isinstance(sampler, ZippedSampler) else sampler)
        for name in _SEEN & own.keys():
            own[name] = self._seen.setdefault(name, own[name])
        return sampler if self._batch is None else BatchSampler(self._batch, self._space, sampler)

    def _built(self, number: int) -> BaseSampler:
        """Return a trial's sampler as it would be without the others."""
        return build_sampler(
            self._node,
            self._space,
            self._seed,
            number,
            self._forgiven,
            self._dependence,
            self._order,
        )


def build_pruner(node: Mapping[str, Any] | None) -> BasePruner:
    """Build the pruner: any Optuna pruner, made to compare trials stage by stage.

    One that knows of stages itself is left as it is.

    Raises:
        ConfigError: ``_target_`` is no pruner, or refuses its options.
    """
    if not node or not node.get("_target_"):
        return NopPruner()
    try:
        pruner = _instantiate(node)
    except (HydraException, TypeError, ValueError, ImportError) as error:
        raise ConfigError([Fault("hydra.sweeper.pruner", _cause(error))]) from error
    if not isinstance(pruner, BasePruner):
        raise ConfigError(
            [Fault("hydra.sweeper.pruner", f"expected an Optuna pruner but got {pruner!r}")]
        )
    if isinstance(pruner, NopPruner | AcrossStagesPruner):
        return pruner
    return StageAwarePruner(pruner, only=SEEDS if isinstance(pruner, WilcoxonPruner) else None)


def derive_seed(seed: int, number: int) -> int:
    """Return the seed of trial ``number``: 32 bits of a hash, so that neighbours share nothing."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


def _unlisted(space: Space) -> list[Fault]:
    """Return a fault for all that keeps a space from being walked point by point."""
    if space.custom is not None:
        message = "expected listed values only, as the grid sampler visits every point"
        return [Fault(custom.OPTION, f"{message}. Use another sampler.")]
    return [
        Fault(
            parameter.key.lstrip("+"),
            "expected a list, choice or range, as the grid sampler visits every point, but got "
            "an interval. Use another sampler, or list the values.",
        )
        for parameter in space.parameters
        if not parameter.choices
    ]


def _instantiate(node: Mapping[str, Any]) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        options = {key: value for key, value in node.items() if key != "_target_"}
        if all(_is_plain(key, value) for key, value in options.items()):
            found: object = get_class(str(node["_target_"]))(**options)
            return found  # as Hydra would, in a hundredth of the time: other workers wait for it
        return instantiate(dict(node))


def _is_plain(key: str, value: object) -> bool:
    """Return whether Hydra would pass an option on as it is."""
    text = isinstance(value, str) and "${" not in value
    return not key.startswith("_") and (text or isinstance(value, bool | int | float | None))


def _cause(error: BaseException) -> str:
    return str(error.__cause__ or error).strip().splitlines()[0]
