"""Which stages work on all of several tasks, and which on one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stagetree.core.errors import Fault, unknown
from stagetree.pipeline.objective import Objective
from stagetree.stages.base import STAGES, Stage, Upstream
from stagetree.tasks.base import Task
from stagetree.tasks.multitask import MultitaskTask


def part_of(
    stage: type[Stage], config: Any, roles: Mapping[str, str], known: Mapping[str, str | None]
) -> str | None:
    """Return the one task, of several, that a stage works on; ``None`` is all there are.

    Args:
        stage: The stage's kind.
        config: Its options.
        roles: Names of the stages it starts from, by role.
        known: The same for the stages before it, by name.
    """
    return stage.narrows(config) or known.get(roles.get("input", ""))


def stage_faults(
    task: Task | None,
    stage: type[Stage],
    config: Any,
    roles: Mapping[str, str],
    known: Mapping[str, str | None],
) -> list[Fault]:
    """Return why a stage cannot work on what is made for several tasks, or for one.

    Args:
        task: The pipeline's task, if it could be read.
        stage: The stage's kind.
        config: Its options.
        roles: Names of the stages it starts from, by role.
        known: Which task, of several, each of them works on.
    """
    if task is None:
        return []
    wanted, given = stage.narrows(config), known.get(roles.get("input", ""))
    if not isinstance(task, MultitaskTask):
        if wanted is None:
            return []
        message = f"a {stage.kind} stage takes one of several tasks but there is one; leave it out"
        return [Fault("", f"{message}, or say task=multitask")]
    if wanted is not None:
        return _picking_faults(task, wanted, given)
    if given is None and not stage.several_heads:
        return [_one_head(stage.kind)]
    return [
        Fault(
            role,
            f"{name!r} works on {known.get(name) or 'several tasks'} and the input on "
            f"{given or 'several tasks'}; name a stage that works on the same",
        )
        for role, name in roles.items()
        if known.get(name) != given
    ]


def _picking_faults(task: MultitaskTask, wanted: str, given: str | None) -> list[Fault]:
    if wanted not in task.parts:
        return [Fault("task", unknown("task", wanted, task.parts))]
    if given is not None:
        return [Fault("input", f"expected a stage for several tasks but got one for {given!r}")]
    return []


def _one_head(kind: str) -> Fault:
    able = ", ".join(name for name in STAGES if STAGES[name].several_heads)
    return Fault(
        "",
        f"a {kind} stage works on a model with one head, and task=multitask makes several; "
        f"stages that take them: {able}. To take out one: stage=[finetune,head,{kind}] "
        "stages.head.task=NAME",
    )


def objective_faults(
    task: Task | None, stages: Sequence[tuple[str, type[Stage], Any]], goal: Objective
) -> list[Fault]:
    """Return the fault of asking a stage for one task for the mean over several."""
    if not isinstance(task, MultitaskTask) or task.primary_metric not in goal.metrics:
        return []
    known: dict[str, str | None] = {}
    before: list[Upstream] = []
    for name, stage, config in stages:
        known[name] = part_of(stage, config, stage.roles(config, before), known)
        before.append(Upstream(name, stage.kind))
    last = known[stages[-1][0]] if stages else None
    if last not in task.parts:
        return []
    own = task.parts[last].primary_metric
    message = f"the last stage works on {last!r} alone and gives no {task.primary_metric!r}"
    return [Fault("objective.metric", f"{message}; say objective.metric={own}")]
