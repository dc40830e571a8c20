"""One run over several seeds: which ones, what their stages are called, and the mean over them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import Fault
from stagetree.core.reporting import StageInfo
from stagetree.core.trials import StageRow

LARGEST = 2**32 - 1
"""The largest seed that every random number generator takes."""

_MARK = "@"


def read(cfg: DictConfig, faults: list[Fault]) -> tuple[int, ...]:
    """Return the seeds to run one after the other, noting what is wrong with them.

    There are none when ``seeds`` is not set and the one ``seed`` counts.
    """
    faults += [
        Fault(f"stages.{name}", f"expected a name without {_MARK!r}, which stands before a seed")
        for name in cfg.stages
        if _MARK in str(name)
    ]
    try:
        seeds: list[Any] | None = None if cfg.seeds is None else list(cfg.seeds)
    except OmegaConfBaseException as error:
        faults.append(Fault("seeds", str(error).splitlines()[0]))
        return ()
    if seeds is not None and (message := _wrong(seeds)):
        faults.append(Fault("seeds", message))
        return ()
    faults += _pruner_faults(OmegaConf.select(cfg, "pruner._target_"), len(seeds or ()))
    return tuple(seeds or ())


def _wrong(seeds: Sequence[Any]) -> str:
    """Return what is wrong with given seeds, or nothing."""
    shown = f"[{','.join(map(str, seeds))}]"
    if not seeds:
        return (
            "expected at least one seed but got none; say seeds=[1,2,3], or null for `seed` alone"
        )
    whole = [isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds]
    if not all(whole) or not all(0 <= seed <= LARGEST for seed in seeds):
        return f"expected integers from 0 to {LARGEST} but got {shown}; say seeds=[1,2,3]"
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        return f"expected each seed once but got {', '.join(map(str, twice))} twice in {shown}"
    return ""


def _pruner_faults(target: object, count: int) -> list[Fault]:
    if str(target).rpartition(".")[2] != "WilcoxonPruner" or count >= 2:
        return []
    message = (
        f"expected several seeds, as the Wilcoxon pruner compares trials seed by seed, but got "
        f"{count or 'none'}; say seeds=[1,2,3], or choose another pruner"
    )
    return [Fault("pruner", message)]


def named(stage: str, seed: int) -> str:
    """Return what a run over several seeds calls a stage with one of them.

    >>> named("finetune", 13)
    'finetune@13'
    """
    return f"{stage}{_MARK}{seed}"


def plain(name: str) -> str:
    """Return a stage's name without its seed.

    >>> plain("finetune@13"), plain("finetune")
    ('finetune', 'finetune')
    """
    return name.partition(_MARK)[0]


def ends_run(stage: StageInfo) -> bool:
    """Return whether nothing is left to compute after a stage.

    With several seeds each one's objective is told after its last stage.
    """
    told_after = 1 if _MARK in stage.name else 0
    return stage.index + told_after == stage.total - 1


def averaged(stages: Sequence[StageRow]) -> list[StageRow]:
    """Return each stage as its mean over the seeds; without seeds the stages as they are.

    A mean has those metrics that its stage has with every seed, and neither signature nor model.
    """
    if not any(_MARK in stage.name for stage in stages):
        return list(stages)
    groups: dict[str, list[StageRow]] = {}
    for stage in stages:
        groups.setdefault(plain(stage.name), []).append(stage)
    return [_mean(name, rows) for name, rows in groups.items()]


def _mean(name: str, rows: Sequence[StageRow]) -> StageRow:
    common = [metric for metric in rows[0].metrics if all(metric in row.metrics for row in rows)]
    return StageRow(
        name=name,
        kind=rows[0].kind,
        signature="",
        seconds=fmean(row.seconds for row in rows),
        reused=all(row.reused for row in rows),
        model_dir="",
        metrics={metric: fmean(row.metrics[metric] for row in rows) for metric in common},
    )
