"""When the learning rate rises, stays and falls, in optimiser steps."""

from __future__ import annotations

from stagetree.training.config import Schedule, TrainingConfig

STEADY = (Schedule.constant, Schedule.warmup_stable_decay)
"""Schedules whose rate, up to some step, does not depend on how long training goes on."""

HORIZON = frozenset(
    {
        "epochs",
        "max_steps",
        "schedule",
        "warmup",
        "warmup_steps",
        "decay",
        "evaluations",
        "evaluate_every",
        "patience",
        "unfreeze",
    }
)
"""Options that say how long training goes on, and what follows from that in steps."""


def decay_steps(config: TrainingConfig, total: int) -> int:
    """Return over how many of the last of ``total`` steps the rate falls to 0 from its peak."""
    return round(config.decay * total)


def warmup_steps(config: TrainingConfig, total: int) -> int:
    """Return over how many of the first of ``total`` steps the rate rises.

    ``warmup_steps``, where given, leaves the decay whole.

    >>> warmup_steps(TrainingConfig(warmup=0.1), 200)
    20
    >>> options = {"schedule": Schedule.warmup_stable_decay, "decay": 0.25}
    >>> warmup_steps(TrainingConfig(warmup_steps=30, **options), 200)
    30
    >>> warmup_steps(TrainingConfig(warmup_steps=180, **options), 200)
    150
    """
    if not config.warmup_steps:
        return round(config.warmup * total)
    decays = config.schedule is Schedule.warmup_stable_decay
    return min(config.warmup_steps, total - (decay_steps(config, total) if decays else 0))


def steady_until(config: TrainingConfig, total: int) -> int:
    """Return after how many steps the rate first depends on ``total``, other than by warm-up.

    >>> steady_until(TrainingConfig(schedule=Schedule.warmup_stable_decay, decay=0.2), 100)
    80
    >>> steady_until(TrainingConfig(schedule=Schedule.constant), 100)
    100
    >>> steady_until(TrainingConfig(schedule=Schedule.linear), 100)
    0
    """
    if config.schedule is Schedule.constant:
        return total
    if config.schedule is Schedule.warmup_stable_decay:
        return total - decay_steps(config, total)
    return 0
