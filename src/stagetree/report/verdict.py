"""The verdict on a study in words: what to ship, what it beat, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from stagetree.core.trials import StageRow, TrialRow
from stagetree.pipeline import seeds
from stagetree.report.lines import infeasible_line
from stagetree.report.numbers import count, duration, megabytes, score
from stagetree.report.view import StudyView


@dataclass(frozen=True)
class Verdict:
    """What a reader must take away.

    Attributes:
        headline: One sentence.
        sentences: What supports it, and what speaks against trusting it.
        caution: How sure it is, and what to do about that; empty when there is nothing to ship.
        settled: Whether there is something to ship.
    """

    headline: str
    sentences: Sequence[str]
    caution: str = ""
    settled: bool = True


def verdict(view: StudyView) -> Verdict:
    """Return the verdict on a study, whatever state it is in."""
    if not any(row.state == "complete" for row in view.rows):
        return _nothing(view)
    if not view.front:
        nearest = f"{_upper(infeasible_line(view.rows))}."
        return Verdict("Nothing to ship yet.", [nearest], "", False)
    return _front(view) if view.several else _best(view, view.front[0])


def _nothing(view: StudyView) -> Verdict:
    if not view.rows:
        return Verdict("No trial has begun.", [], "", False)
    states = ", ".join(
        f"{view.count(state)} {state}"
        for state in ("running", "pruned", "failed", "waiting", "rejected")
        if view.count(state)
    )
    sentences = [f"No trial has finished yet ({states}), so there is nothing to compare."]
    if view.count("failed") == len(view.rows):
        sentences.append("Every trial failed: the errors below say why.")
    return Verdict("Nothing to ship yet.", sentences, "", False)


def _front(view: StudyView) -> Verdict:
    complete = view.count("complete")
    opening = (
        f"{complete} trials are complete; {len(view.front)} of them are beaten by no other in "
        "all objectives at once. Which one to ship is a choice between the objectives."
    )
    sentences = [opening]
    for place, metric in enumerate(view.metrics):
        sign = 1.0 if view.directions[place] == "maximize" else -1.0
        top = max(view.front, key=lambda row: (sign * row.values[place], -row.number))
        others = ", ".join(
            f"{name} {score(value)}"
            for name, value in zip(view.metrics, top.values, strict=False)
            if name != metric
        )
        shown = score(top.values[place])
        sentences.append(f"Best in {metric}: trial {top.number} with {shown} ({others}).")
    return Verdict(
        f"{len(view.front)} configurations to choose from.",
        sentences + _going_on(view),
        _confirmation(view, " --trial N"),
    )


def _best(view: StudyView, best: TrialRow) -> Verdict:
    metric, value = view.metrics[0], best.values[0]
    sentences = [_cost(best), *_beaten(view, best), *_chain(view, best), *_going_on(view)]
    said = [sentence for sentence in sentences if sentence]
    found = f"trial {best.number}: {metric} {score(value)}."
    if view.confirmed:  # several new seeds against one: theirs is the word
        choice, *more = view.confirmed
        caution = f"So say new seeds, not those of the search. {' '.join(map(_upper, more))}"
        return Verdict(choice, [f"The search's own best is {found}", *said], caution.strip())
    return Verdict(f"Ship {found}", said, f"{_sureness(view, best)} {_confirmation(view, '')}")


def _cost(best: TrialRow) -> str:
    """Say what the winner takes to make, and what it is."""
    if not best.stages:
        return f"It took {duration(best.seconds)}." if best.seconds else ""
    made = sum(stage.seconds for stage in best.stages)
    last = best.stages[-1].metrics
    facts = [
        f"{count(last['parameters'])} parameters" if last.get("parameters") else "",
        f"{megabytes(last['bytes'])} MB" if last.get("bytes") else "",
        f"{score(last['latency_ms'])} ms an input" if last.get("latency_ms") else "",
    ]
    shown = ", ".join(fact for fact in facts if fact)
    stages = " and ".join([", ".join(_names(best)[:-1]), _names(best)[-1]]).removeprefix(" and ")
    text = f"Making it takes {duration(made)} ({stages})"
    return f"{text}; the model has {shown}." if shown else f"{text}."


def _names(row: TrialRow) -> list[str]:
    return list(dict.fromkeys(seeds.plain(stage.name) for stage in row.stages))


def _beaten(view: StudyView, best: TrialRow) -> list[str]:
    """Say what it is better than: the first trial, and the next best."""
    metric, value = view.metrics[0], best.values[0]
    others = [
        row
        for row in view.rows
        if row.state == "complete" and row.feasible and row.params != best.params
    ]
    if not others:
        return ["It is the only complete trial: there is nothing to compare it with."]
    runner = max(others, key=lambda row: (view.sign * row.values[0], -row.number))
    word = "higher" if view.sign > 0 else "lower"
    found = []
    first = others[0]
    if first.number == 0 and first is not runner:
        gap = abs(value - first.values[0])
        found.append(
            f"Its {metric} is {score(gap)} {word} than that of the first trial "
            f"({score(first.values[0])})."
        )
    gap = abs(value - runner.values[0])
    found.append(
        f"Next comes trial {runner.number} with {score(runner.values[0])}, "
        f"{score(gap)} {'behind' if gap else 'apart: a tie'}."
    )
    return found


def _chain(view: StudyView, best: TrialRow) -> list[str]:
    """Say what the pipeline made of its first model."""
    stages = seeds.averaged(best.stages)
    if len(stages) < 2:
        return []
    first, last = stages[0], stages[-1]
    parts = [
        _kept(first, last, view.metrics[0], "", 1.0),
        _kept(first, last, "latency_ms", " ms", 1.0),
        _kept(first, last, "bytes", " MB", 1e-6),
    ]
    shown = ", ".join(part for part in parts if part)
    return [f"From {first.name} to {last.name}: {shown}."] if shown else []


def _kept(first: StageRow, last: StageRow, name: str, unit: str, scale: float) -> str:
    before, after = first.metrics.get(name), last.metrics.get(name)
    if not before or after is None:
        return ""
    label = {"latency_ms": "latency", "bytes": "size"}.get(name, name)
    return f"{label} {score(before * scale)} → {score(after * scale)}{unit} ({after / before:.0%})"


def _sureness(view: StudyView, best: TrialRow) -> str:
    values = seed_values(best, view.metrics[0])
    complete = view.count("complete")
    if len(values) > 1:
        return (
            f"Over {len(values)} seeds it is {fmean(values):.4f} ± {stdev(values):.4f}; as the "
            f"best of {complete} trials it is still likely to look better than it is."
        )
    return (
        "This is one seed, and the best of "
        f"{complete} complete trial{'s' if complete != 1 else ''}: gaps of this size can be luck."
    )


def _confirmation(view: StudyView, options: str) -> str:
    if view.confirmed:
        return f"Confirmed over new seeds: {' '.join(view.confirmed)}"
    return f"Not confirmed yet: run stagetree confirm {view.name}{options}"


def seed_values(row: TrialRow, metric: str) -> list[float]:
    """Return a trial's objective with each seed; at most one value without seeds."""
    last: dict[str, StageRow] = {}
    for stage in row.stages:
        last[stage.name[len(seeds.plain(stage.name)) :]] = stage
    return [stage.metrics[metric] for stage in last.values() if metric in stage.metrics]


def _going_on(view: StudyView) -> list[str]:
    running = view.count("running")
    if not running:
        return []
    noun = "trial is" if running == 1 else "trials are"
    return [f"{running} {noun} still running, so this can change."]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
