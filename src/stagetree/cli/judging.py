"""What ``stagetree confirm`` concludes from finished runs, on the validation split."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from stagetree.cli import reruns
from stagetree.cli.confirming import Plan
from stagetree.cli.reruns import Rerun
from stagetree.core import confirmations
from stagetree.core.errors import StagetreeError
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.store import Store
from stagetree.search.candidates import Candidate

if TYPE_CHECKING:
    from stagetree.report.paired import Paired
    from stagetree.tasks.base import Task


@dataclass
class Outcomes:
    """What the runs gave.

    Attributes:
        values: By candidate, the objectives with each seed; candidates that failed are left out.
        failed: By candidate, what went wrong by seed.
    """

    values: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)


def outcomes(plan: Plan, failed: Mapping[tuple[str, int], str]) -> Outcomes:
    """Return what finished runs gave.

    Args:
        plan: What was run.
        failed: What made a run fail, by candidate and seed.

    Raises:
        StagetreeError: Fewer than two candidates gave a score with every seed.
    """
    found = Outcomes()
    for name, runs in plan.runs.items():
        wrong = {str(seed): failed[name, seed] for seed in plan.seeds if (name, seed) in failed}
        if wrong:
            found.failed[name] = wrong
            continue
        found.values[name] = [_values(run, pipeline, plan.store) for run, pipeline in runs]
    if len(found.values) < 2:
        reasons = "; ".join(
            f"{name} with seed {seed}: {why}"
            for name, seeds in found.failed.items()
            for seed, why in seeds.items()
        )
        raise StagetreeError(f"nothing to compare: {reasons}")
    return found


def _values(run: Rerun, pipeline: Pipeline, store: Store) -> tuple[float, ...]:
    stages = reruns.stages(run, pipeline, store)
    if stages is None:
        raise StagetreeError(
            f"{run.directory}: expected the record of a finished run but found none; its disk may "
            "be full. The same line again runs it once more"
        )
    return pipeline.objective.values(stages)


def judge(plan: Plan, found: Outcomes) -> confirmations.Confirmation:
    """Compare the candidates on the validation split and return what is to be recorded."""
    from stagetree.pipeline.environment import environment
    from stagetree.report.choice import Wording, choice
    from stagetree.report.confirmation import comparison_json, estimate_json
    from stagetree.report.statistics import compare, estimate

    question = plan.question
    metric, maximize = question.metric, question.directions[question.objective] == "maximize"
    _, some = plan.all_runs()[0]
    task, _ = some.concern(some.nodes[-1])
    scores = _paired(plan, found, task)
    estimates = {name: estimate(runs) for name, runs in scores.runs.items()}
    told = compare(scores.runs, pairs(list(found.values)), maximize=maximize)
    wording = Wording(metric, maximize=maximize, points=metric == task.primary_metric)
    shipped, sentence = choice(estimates, told, question.baseline.name, maximize=maximize)
    return {
        "id": plan.identity,
        "study": question.study,
        "time": now(),
        "commit": environment(some.numerics, Path.cwd())["commit"],
        "metric": metric,
        "direction": question.directions[question.objective],
        "seeds": list(plan.seeds),
        "study_seeds": list(plan.used),
        "examples": scores.examples,
        "note": scores.note,
        "candidates": [
            {
                **_facts(plan, one, found),
                **(estimate_json(estimates[one.name]) if one.name in estimates else {}),
            }
            for one in plan.candidates
        ],
        "same": dict(plan.same),
        "comparisons": [comparison_json(one) for one in told],
        "choice": shipped,
        "verdict": [sentence, *(wording.line(one) for one in told)],
        "test": None,
    }


def _paired(plan: Plan, found: Outcomes, task: Task) -> Paired:
    """Return what the candidates scored, with what was predicted of each example."""
    from stagetree.report.paired import paired

    question = plan.question
    values = {
        name: [row[question.objective] for row in rows] for name, rows in found.values.items()
    }
    kept = {
        name: [plan.store.examples(one.nodes[-1].signature) for _, one in plan.runs[name]]
        for name in values
    }
    return paired(task, question.metric, values, kept)


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return all pairs, those with the first name first; the first comes second in them.

    >>> pairs(["default", "a", "b"])
    [('a', 'default'), ('b', 'default'), ('a', 'b')]
    """
    first, *others = names
    return [*((name, first) for name in others), *itertools.combinations(others, 2)]


def _facts(plan: Plan, one: Candidate, found: Outcomes) -> dict[str, Any]:
    rows = found.values.get(one.name, [])
    columns = dict(zip(plan.question.metrics, zip(*rows, strict=True), strict=False))
    own = columns.pop(plan.question.metric, ())
    return {
        "name": one.name,
        "trial": one.trial,
        "params": dict(one.params),
        "study_value": one.value,
        "signatures": {
            str(run.seed): pipeline.nodes[-1].signature for run, pipeline in plan.runs[one.name]
        },
        "command": shlex.join(["python", "run.py", *one.words]),
        "values": list(own),
        "others": {name: _mean_and_sd(column) for name, column in columns.items()},
        "failed": found.failed.get(one.name, {}),
    }


def _mean_and_sd(column: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(column), "sd": stdev(column)}


def now() -> str:
    """Return the time, UTC in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
