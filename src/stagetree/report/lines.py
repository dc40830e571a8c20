"""What the console says about trials in lines of text, and machines in JSON."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from stagetree.report.costs import costs
from stagetree.report.numbers import duration, score
from stagetree.report.tables import assignments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stagetree.core.trials import StageRow, TrialRow


def trial_line(row: TrialRow, done: int, total: int, metric: str = "value") -> str:
    """Return one line about a finished trial.

    Args:
        row: The trial.
        done: How many trials have finished, this one included.
        total: How many there will be.
        metric: Name of the objective.
    """
    counter = f"[{done:>{len(str(total))}}/{total}]"
    parts = [f"{counter} trial {row.number}", *_ending(row, metric)]
    if row.stages:
        parts.append(", ".join(_stage(stage) for stage in row.stages))
    if row.params:
        parts.append(assignments(row.params))
    return "  ".join(parts)


def savings(rows: Sequence[TrialRow]) -> str:
    """Return what the trials cost and what sharing stages and pruning spared.

    The time saved by reuse is what computing the reused results took when they were computed;
    it counts results of earlier runs and other studies too.
    """
    stages = [stage for row in rows for stage in row.stages]
    cost = costs(rows)
    lines = [f"time    {duration(cost.spent)} spent in {_plural(len(rows), 'trial')}"]
    if cost.reuses:
        reused = f"{duration(cost.reused)} not spent again ({_plural(cost.reuses, 'stage')} reused)"
        lines[0] += f"; {reused}"
    if stages:
        lines.append("stages  " + "; ".join(_counts(stages)))
    states = Counter(row.state for row in rows)
    lines.append("trials  " + ", ".join(f"{number} {state}" for state, number in states.items()))
    return "\n".join(lines)


def best_block(row: TrialRow, metrics: Sequence[str]) -> str:
    """Return what to know about the best trial, in lines that can be copied whole.

    Args:
        row: The trial.
        metrics: Name of each objective.
    """
    facts = {
        "best": f"trial {row.number}  {_values(row, metrics)}".rstrip(),
        "params": assignments(row.params),
        "chain": _chain(row, metrics[0]),
        "model": row.stages[-1].model_dir if row.stages else "",
        "rerun": row.command,
    }
    return "\n".join(f"{name:<6}  {fact}" for name, fact in facts.items() if fact)


def front_block(front: Sequence[TrialRow], complete: int, metrics: Sequence[str]) -> str:
    """Return the Pareto front: a line a trial with its values, and one that runs it again.

    Args:
        front: The trials of the front.
        complete: How many trials are complete.
        metrics: Name of each objective.
    """
    lines = [f"front   {len(front)} of {_plural(complete, 'complete trial')}"]
    for row in front:
        lines.append(f"  trial {row.number}  {_values(row, metrics)}")
        if row.command:
            lines.append(f"    rerun  {row.command}")
    return "\n".join(lines)


def infeasible_line(rows: Sequence[TrialRow]) -> str:
    """Return that no trial is within the bounds, and which one is nearest to them."""
    complete = [row for row in rows if row.state == "complete"]
    nearest = min(complete, key=lambda row: sum(row.violations.values()))
    broken = ", ".join(f"{name} by {_share(share)}" for name, share in nearest.violations.items())
    return (
        f"none of {_plural(len(complete), 'complete trial')} is within the bounds; "
        f"the nearest is trial {nearest.number}, which breaks {broken}"
    )


def _share(share: float) -> str:
    """Return how far beyond a bound something is, however little that is."""
    return f"{share:.0%}" if share >= 0.01 else f"{share * 100:.1g}%"


def _values(row: TrialRow, metrics: Sequence[str]) -> str:
    pairs = zip(metrics, row.values, strict=False)
    return "  ".join(f"{name} {score(value)}" for name, value in pairs)


def _chain(row: TrialRow, metric: str) -> str:
    """Say what the pipeline made of its first stage: score kept, latency and size saved."""
    if len(row.stages) < 2:
        return ""
    first, last = row.stages[0].metrics, row.stages[-1].metrics
    parts = []
    for name, unit, scale in (
        (metric, "", 1.0),
        ("latency_ms", " ms", 1.0),
        ("bytes", " MB", 1e-6),
    ):
        if first.get(name) and name in last:
            change = f"{score(first[name] * scale)} -> {score(last[name] * scale)}{unit}"
            parts.append(f"{name.removesuffix('_ms')} {change} ({last[name] / first[name]:.0%})")
    return f"{row.stages[0].name} -> {row.stages[-1].name}: " + ", ".join(parts) if parts else ""


def to_json(rows: Sequence[TrialRow]) -> list[dict[str, object]]:
    """Return trials in JSON's types; numbers that are not finite become ``None``."""
    return [
        {
            "number": row.number,
            "state": row.state,
            "params": dict(row.params),
            "values": [_finite(value) for value in row.values],
            "stages": [_stage_json(stage) for stage in row.stages],
            "seconds": row.seconds,
            "pruned_in": row.pruned_in,
            "error": row.error,
            "copy_of": row.copy_of,
            "violations": dict(row.violations),
            "command": row.command,
        }
        for row in rows
    ]


def _ending(row: TrialRow, metric: str) -> list[str]:
    value = score(row.values[0]) if row.values else ""
    if row.state == "pruned":
        place = f" in {row.pruned_in}" if row.pruned_in else ""
        return [f"pruned{place}" + (f" at {metric} {value}" if value else "")]
    if row.state == "failed":
        return [f"failed: {row.error}" if row.error else "failed"]
    ending = row.state if row.copy_of is None else f"{row.state} as trial {row.copy_of}"
    if row.state == "complete" and not row.feasible:
        ending = f"infeasible ({', '.join(row.violations)})"
    return [ending, f"{metric} {value}"] if value else [ending]


def _stage(stage: StageRow) -> str:
    return f"{stage.name} reused" if stage.reused else f"{stage.name} {duration(stage.seconds)}"


def _counts(stages: Sequence[StageRow]) -> list[str]:
    run = Counter(stage.kind for stage in stages if not stage.reused)
    reused = Counter(stage.kind for stage in stages if stage.reused)
    return [
        f"{kind} {run[kind]} run" + (f", {reused[kind]} reused" if reused[kind] else "")
        for kind in dict.fromkeys(stage.kind for stage in stages)
    ]


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _stage_json(stage: StageRow) -> dict[str, object]:
    return {
        "name": stage.name,
        "kind": stage.kind,
        "signature": stage.signature,
        "seconds": stage.seconds,
        "reused": stage.reused,
        "model_dir": stage.model_dir,
        "metrics": {name: _finite(value) for name, value in stage.metrics.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
