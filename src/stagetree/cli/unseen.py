"""The test split: read once, after the verdict, for what was confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stagetree.cli.confirming import Plan
from stagetree.cli.judging import now, pairs
from stagetree.core import confirmations

if TYPE_CHECKING:
    from stagetree.core.confirmations import Confirmation
    from stagetree.report.paired import Paired
    from stagetree.tasks.examples import Examples


def read_test(
    plan: Plan, confirmation: Confirmation, *, again: bool, heard: Callable[[str], None]
) -> dict[str, Any]:
    """Score what was confirmed on the test split, unless that would be choosing by it.

    That it is being read is on record before it is.

    Args:
        plan: What was confirmed.
        confirmation: The verdict; nothing is read without one on record.
        again: Read it although it was read for others.
        heard: Hears of each model that was scored.

    Returns:
        The entry ``test`` of the confirmation.
    """
    directory = plan.question.directory
    others = confirmations.readers(confirmations.read(directory), confirmation["id"])
    if others and not again:
        return {"status": "refused", "why": _refusal(others)}
    if not _has_test(plan):
        return {"status": "none", "why": "the data has none, so there is no test score"}
    begun = {"status": confirmations.BEGUN, "time": now(), "earlier": len(others)}
    begun["why"] = "was being read when this was interrupted; the same line again goes on"
    confirmations.put(directory, {**confirmation, "test": begun})
    return {**begun, **_scores(plan, confirmation, heard), "status": confirmations.READ, "why": ""}


def _refusal(others: list[Confirmation]) -> str:
    last = others[-1]
    names = ", ".join(one["name"] for one in last["candidates"])
    seeds = ", ".join(map(str, last["seeds"]))
    return (
        f"not read. It was read on {last['test']['time']} for {names} with seeds {seeds}; whoever "
        "looks at it for one choice after another chooses by it, and its scores say no more how "
        "good the choice is. --again reads it nonetheless and keeps count"
    )


def _has_test(plan: Plan) -> bool:
    from stagetree.data.load import load

    _, pipeline = plan.all_runs()[0]
    _, data = pipeline.concern(pipeline.nodes[-1])
    return len(load(data).test) > 0


def _scores(plan: Plan, confirmation: Confirmation, heard: Callable[[str], None]) -> dict[str, Any]:
    """Return what the candidates score, in the task's primary metric."""
    from stagetree.data.load import load
    from stagetree.pipeline.scoring import examine
    from stagetree.report.confirmation import estimate_json
    from stagetree.report.paired import paired
    from stagetree.report.statistics import estimate

    _, some = plan.all_runs()[0]
    task, _ = some.concern(some.nodes[-1])
    names = [one["name"] for one in confirmation["candidates"] if not one["failed"]]
    values: dict[str, list[float]] = {name: [] for name in names}
    kept: dict[str, list[Examples | None]] = {name: [] for name in names}
    for name in names:
        for run, pipeline in plan.runs[name]:
            node = pipeline.nodes[-1]
            own, data = pipeline.concern(node)
            model = plan.store.model_dir(node.signature)
            found = examine(model, own, load(data), "test", plan.cache)
            values[name].append(float(found.scores.metrics[own.primary_metric]))
            kept[name].append(found.examples)
            heard(f"test split: {name}, seed {run.seed}")
    scores = paired(task, task.primary_metric, values, kept)
    return {
        "metric": task.primary_metric,
        "examples": len(load(some.concern(some.nodes[-1])[1]).test),
        "note": scores.note,
        "candidates": [
            {"name": name, "values": values[name], **estimate_json(estimate(scores.runs[name]))}
            for name in names
        ],
        "comparisons": _with_the_first(scores, names),
    }


def _with_the_first(scores: Paired, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the differences of all others from the first candidate."""
    from stagetree.report.confirmation import estimate_json
    from stagetree.report.statistics import estimate

    found = []
    for first, second in pairs(names):
        if second == names[0]:
            difference = estimate(scores.runs[first].minus(scores.runs[second]))
            found.append(
                {
                    "first": first,
                    "second": second,
                    "difference": difference.mean,
                    "interval": estimate_json(difference)["interval"],
                }
            )
    return found
