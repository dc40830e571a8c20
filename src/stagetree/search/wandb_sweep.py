"""A search as a sweep of W&B, for those who want W&B's server to choose the trials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution, IntDistribution

from stagetree.core.errors import ConfigError, Fault
from stagetree.search.stage_pruner import STAGE_STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omegaconf import DictConfig

    from stagetree.search.parameter import Choice, Parameter
    from stagetree.search.reading import Reading
    from stagetree.search.space import Space

COMMAND = ("${env}", "${interpreter}", "${program}")
ARGUMENTS = "${args_no_hyphens}"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_RANDOM = {"RandomSampler", "QMCSampler"}
_HALVING = {"HyperbandPruner", "SuccessiveHalvingPruner"}


@dataclass(frozen=True)
class WandbSweep:
    """A sweep of W&B.

    Attributes:
        config: What ``wandb sweep`` reads, as plain data.
        notes: What of the search it does not say, a sentence each.
    """

    config: Mapping[str, Any]
    notes: tuple[str, ...]


def wandb_sweep(
    reading: Reading, config: DictConfig, options: Mapping[str, Any], program: str, name: str
) -> WandbSweep:
    """Return the sweep of W&B that asks the same question.

    An agent runs one trial as ``program`` with the search's fixed overrides and one value a
    parameter; the metric is ``value``, the objective as the program returns it.

    Args:
        reading: The search.
        config: Its composed configuration.
        options: Options of its sweeper.
        program: The program that runs one trial.
        name: Displayed name of the sweep.

    Raises:
        ConfigError: With everything that W&B's sweeps cannot say.
    """
    faults = _refused(reading, config)
    if faults:
        raise ConfigError(faults)
    method = _method(reading)
    early, metric, pruning = _early(reading, config)
    tracker = config.tracker
    sweep: dict[str, Any] = {"program": program, "method": method, "name": name}
    sweep |= {key: tracker[key] for key in ("project", "entity") if tracker.get(key)}
    sweep["metric"] = {"name": metric, "goal": reading.directions[0]}
    sweep["run_cap"] = reading.total
    sweep |= {"early_terminate": early} if early else {}
    grid = method == "grid"
    sweep["parameters"] = {one.key: _values(one, listed=grid) for one in reading.space.parameters}
    sweep["command"] = [*COMMAND, *reading.fixed, ARGUMENTS]
    return WandbSweep(sweep, (*_sampling(reading, method), *pruning, *_unsaid(options)))


def _refused(reading: Reading, config: DictConfig) -> list[Fault]:
    """Return what a sweep of W&B cannot say at all."""
    faults = [*_unsayable(reading.space)]
    if len(reading.directions) > 1:
        message = f"expected one objective, as W&B has, but got {', '.join(reading.metrics)}"
        faults.append(Fault("objective", message))
    for name in reading.constraints:
        message = "expected no bounds on metrics, as W&B knows none; say objective.constraints={}"
        faults.append(Fault(f"objective.constraints.{name}", message))
    if config.tracker.get("kind") != "wandb":
        message = f"expected tracker=wandb, or W&B hears nothing, but got {config.tracker.kind}"
        faults.append(Fault("tracker", message))
    return faults


def _unsayable(space: Space) -> list[Fault]:
    faults = []
    if space.custom is not None:
        message = "expected none, as W&B runs no function of yours between trials"
        faults.append(Fault("hydra.sweeper.custom_search_space", message))
    for zipped in space.zips:
        message = f"W&B cannot move {' and '.join(zipped.names)} together; sweep one of them"
        faults.append(Fault("hydra.sweeper.zip", message))
    for one in space.parameters:
        path = f"hydra.sweeper.params.{one.key}"
        if one.condition is not None:
            message = f"it exists only when {one.condition}, and W&B gives every trial every key"
            faults.append(Fault(path, message))
        if not _NAME.fullmatch(one.key):
            message = "W&B takes letters, digits, '_', '.' and '-' in a key, and a letter first"
            faults.append(Fault(path, message))
    return faults


def _method(reading: Reading) -> str:
    if reading.is_grid:
        return "grid"
    return "random" if _sampler(reading) in _RANDOM else "bayes"


def _sampler(reading: Reading) -> str:
    return str(reading.sampler["_target_"]).rsplit(".", 1)[-1]


def _sampling(reading: Reading, method: str) -> list[str]:
    if method == "bayes":
        return [f"sampler: W&B's Gaussian process chooses in place of {_sampler(reading)}"]
    return [f"sampler: W&B draws at random in place of {_sampler(reading)}"] * (
        _sampler(reading) == "QMCSampler"
    )


def _early(reading: Reading, config: DictConfig) -> tuple[dict[str, Any], str, list[str]]:
    """Return W&B's early termination, the metric it has to watch, and what is left out.

    W&B counts how often the metric was logged, so the last stage's evaluations are its
    iterations, and its metric is the one that is watched.
    """
    pruner = str((reading.pruner or {}).get("_target_") or "").rsplit(".", 1)[-1]
    if not pruner or not reading.pruner:
        return {}, "value", []
    stage = list(config.stages)[-1]
    evaluations = int(config.stages[stage].get("evaluations") or 0)
    if pruner not in _HALVING or evaluations < 2 or config.get("seeds") or not reading.metrics:
        return (
            {},
            "value",
            [f"pruner: W&B has nothing like {pruner} here; every trial runs to its end"],
        )
    first = int(reading.pruner["min_resource"]) / STAGE_STEPS * evaluations
    early = {
        "type": "hyperband",
        "min_iter": max(1, round(first)),
        "eta": int(reading.pruner["reduction_factor"]),
    }
    note = f"pruner: W&B's hyperband watches stage {stage} alone, in place of {pruner}"
    return early, f"{stage}/{reading.metrics[0]}", [note]


def _unsaid(options: Mapping[str, Any]) -> list[str]:
    """Return which options of the search W&B's agents know nothing of."""
    limits = [name for name in ("timeout", "device_hours") if options.get(name)]
    notes = [f"hydra.sweeper.{name}: agents know no such limit" for name in limits]
    if options.get("enqueue"):
        notes.append("hydra.sweeper.enqueue: W&B runs no points of your choice first")
    return notes


def _values(one: Parameter, *, listed: bool) -> dict[str, Any]:
    """Return a parameter as W&B writes it.

    Args:
        one: The parameter.
        listed: Whether all values have to be listed, as for a grid.
    """
    found = one.distribution
    if isinstance(found, FloatDistribution | IntDistribution) and not (one.choices and listed):
        numbers = _numbers(found)
        if numbers is not None:
            return numbers
    values = [_value(choice) for choice in one.choices]
    return {"values": values} if len(values) > 1 else {"value": values[0]}


def _numbers(found: FloatDistribution | IntDistribution) -> dict[str, Any] | None:
    """Return a range of numbers; ``None`` where W&B, which counts steps from 0, has no such one."""
    low, high = found.low, found.high
    if low == high:
        return {"value": low}
    ends = {"min": low, "max": high}
    if isinstance(found, FloatDistribution):
        if found.step is not None:
            return None
        return {"distribution": "log_uniform_values" if found.log else "uniform", **ends}
    if found.log:
        return {"distribution": "q_log_uniform_values", **ends, "q": 1}
    if found.step == 1:
        return {"distribution": "int_uniform", **ends}
    return None if low % found.step else {"distribution": "q_uniform", **ends, "q": found.step}


def _value(choice: Choice) -> Any:
    """Return a value that, written after ``=``, Hydra reads as the choice."""
    value = choice.value
    return value if isinstance(value, bool | int | float) else choice.text


def as_yaml(sweep: WandbSweep, heading: Sequence[str]) -> str:
    """Return the file that ``wandb sweep`` reads.

    Args:
        sweep: The sweep.
        heading: Lines of comment on top.
    """
    comments = [f"# {line}".rstrip() for line in (*heading, *sweep.notes)]
    return "\n".join(comments) + "\n" + OmegaConf.to_yaml(OmegaConf.create(dict(sweep.config)))
