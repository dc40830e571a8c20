"""What ``stagetree confirm`` runs: every candidate with every seed, composed and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagetree.cli import reruns
from stagetree.cli.reruns import Rerun
from stagetree.core.errors import ConfigError, Fault, StagetreeError
from stagetree.core.signature import digest
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.opening import store_of
from stagetree.pipeline.store import Store
from stagetree.search.candidates import Candidate, fresh_seeds

FOLDER = "confirm"
"""Directory of the runs, in the study's own."""


@dataclass(frozen=True)
class Question:
    """What is to be confirmed.

    Attributes:
        study: Name of the study.
        directory: Its directory.
        metrics: Its objectives.
        directions: ``maximize`` or ``minimize``, one an objective.
        objective: Which of them is compared.
        baseline: What the candidates are to beat.
        candidates: The others, best first.
        seeds: Seeds to run with; none: as many fresh ones as ``count``.
        count: How many.
        extra: Overrides that come last.
    """

    study: str
    directory: Path
    metrics: Sequence[str]
    directions: Sequence[str]
    objective: int
    baseline: Candidate
    candidates: Sequence[Candidate]
    seeds: Sequence[int] = ()
    count: int = 5
    extra: Sequence[str] = ()

    @property
    def metric(self) -> str:
        """Name of the objective that is compared."""
        return self.metrics[self.objective]


@dataclass(frozen=True)
class Plan:
    """Every candidate with every seed, composed and checked.

    Attributes:
        question: What is to be confirmed.
        seeds: The seeds.
        used: Seeds of the study.
        candidates: The baseline first; none composes to the same as another.
        same: Names of trials that are what an earlier candidate is, by their own name.
        runs: By candidate, a rerun and its pipeline for each seed.
        store: Where results are.
        cache: Directory for what can be recomputed.
    """

    question: Question
    seeds: Sequence[int]
    used: Sequence[int]
    candidates: Sequence[Candidate]
    same: Mapping[str, str]
    runs: Mapping[str, Sequence[tuple[Rerun, Pipeline]]]
    store: Store
    cache: Path

    @property
    def identity(self) -> str:
        """What tells this from other confirmations: the metric and the models compared."""
        models = [
            [name, *(pipeline.nodes[-1].signature for _, pipeline in runs)]
            for name, runs in sorted(self.runs.items())
        ]
        return digest([self.question.metric, models])

    def all_runs(self) -> list[tuple[Rerun, Pipeline]]:
        """Return every run, seed by seed, so that an interruption leaves whole seeds."""
        return [run for column in zip(*self.runs.values(), strict=True) for run in column]


def prepare(question: Question) -> Plan:
    """Compose every candidate with every seed.

    Raises:
        ConfigError: One cannot be composed, or there are fewer than two seeds.
        StagetreeError: All candidates are the same.
    """
    asked = [question.baseline, *question.candidates]
    used = sorted({seed for one in asked for seed in _seeds_of(question, one)})
    seeds = list(dict.fromkeys(question.seeds)) or fresh_seeds(question.count, used)
    if len(seeds) < 2:
        raise ConfigError([Fault("--seeds", f"expected at least two seeds but got {len(seeds)}")])
    runs: dict[str, list[tuple[Rerun, Pipeline]]] = {}
    same: dict[str, str] = {}
    known: dict[str, str] = {}
    for one in asked:
        composed = [(run, reruns.load(run)[1]) for run in _runs(question, one, seeds)]
        earlier = known.setdefault(composed[0][1].nodes[-1].signature, one.name)
        if earlier == one.name:
            runs[one.name] = composed
        else:
            same[one.name] = earlier
    if len(runs) < 2:
        raise StagetreeError(_nothing(same))
    config, _ = reruns.load(next(iter(runs.values()))[0][0])
    store, cache = store_of(config), Path(config.paths.cache)
    kept = [one for one in asked if one.name in runs]
    return Plan(question, seeds, used, kept, same, runs, store, cache)


def _nothing(same: Mapping[str, str]) -> str:
    shown = "; ".join(f"{name} is the same as the {other}" for name, other in same.items())
    return f"nothing to confirm: {shown}. More trials with --top, or others with --trial"


def _seeds_of(question: Question, one: Candidate) -> Sequence[int]:
    """Return the seeds that a candidate had in the study."""
    words = (*one.words, *one.seeding, *question.extra)
    rerun = Rerun(one.name, 0, words, question.directory, question.study)
    _, pipeline = reruns.load(rerun)
    return pipeline.seeds or (pipeline.seed,)


def _runs(question: Question, one: Candidate, seeds: Sequence[int]) -> list[Rerun]:
    place = question.directory / FOLDER / one.name.replace(" ", "-")
    words = (*one.words, "seeds=null", *question.extra)
    return [
        Rerun(
            candidate=one.name,
            seed=seed,
            words=(*words, f"seed={seed}"),
            directory=place / f"seed-{seed}",
            study=question.study,
            number=one.trial,
            params=one.params,
        )
        for seed in seeds
    ]
