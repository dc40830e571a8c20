"""Which trials a search would still start, asked from the same places and samplers."""

from __future__ import annotations

import inspect
import math
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.utils import get_class
from optuna.samplers import QMCSampler, RandomSampler

from stagetree.search import samplers, versions
from stagetree.search.database import is_fresh
from stagetree.search.journal import FILE, open_storage
from stagetree.search.notes import crashed, is_imported
from stagetree.search.places import Places
from stagetree.search.study import seed_of
from stagetree.search.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study

    from stagetree.search.reading import Reading

_VERSION = re.compile(r"-v\d+$")


@dataclass(frozen=True)
class Upcoming:
    """The trials that a search still has to run.

    Attributes:
        done: How many trials of the study have ended.
        points: Parameters of the next trials, as far as they do not depend on scores.
        unknown: How many more there are, whose points depend on what the others will score.
    """

    done: int
    points: tuple[Mapping[str, Any], ...]
    unknown: int


def upcoming(reading: Reading, options: Mapping[str, Any], name: str, directory: Path) -> Upcoming:
    """Return what the search would run now if every trial completed.

    The study is copied into a temporary directory and goes on there, in memory, with the
    places and the samplers that a worker would use; nothing is written anywhere else.

    Args:
        reading: The search.
        options: Options of the sweeper, see ``StagetreeSweeperConf``.
        name: Name of the study; it need not exist.
        directory: Its directory.

    Raises:
        StudyMismatchError: The study answers another question.
    """
    with tempfile.TemporaryDirectory(prefix="stagetree-plan-") as scratch:
        copy = Path(scratch) / directory.name
        _copy_family(directory, name, options["storage"], copy)
        known = {file.parent for file in Path(scratch).glob(f"*/{FILE}")}
        version = versions.open_or_create(
            copy, name, reading.question, reading.space, None, options["seed"]
        )
        seeded = options["seed"] is not None or version.directory in known
        study = _in_memory(version.study)
        first = foreseeable(reading.sampler, seeded=seeded)
        return _simulate(reading, options, study, Path(scratch), first)


def foreseeable(sampler: Mapping[str, Any], *, seeded: bool) -> float:
    """Return from which trial on a sampler's proposals depend on the scores of earlier ones.

    Grid, random and quasi-random search never look at a score. The others begin with random
    trials: as many as ``n_startup_trials`` or ``population_size`` says.

    Args:
        sampler: Its configuration.
        seeded: Whether the seed is known.
    """
    if sampler["_target_"] == samplers.GRID:
        return math.inf
    if not seeded:
        return 0
    kind = get_class(str(sampler["_target_"]))
    if issubclass(kind, RandomSampler | QMCSampler):
        return math.inf
    for option in ("n_startup_trials", "population_size"):
        parameter = inspect.signature(kind).parameters.get(option)
        if parameter is not None:
            number = sampler.get(option, parameter.default)
            return number if isinstance(number, int) else 0
    return 0


def _copy_family(directory: Path, name: str, url: str | None, copy: Path) -> None:
    """Copy the study and its versions to ``copy`` and beside it; what does not exist is not."""
    stem = _VERSION.sub("", directory.name)
    if not url:
        for file in directory.parent.glob(f"{stem}*/{FILE}"):
            place = copy.with_name(file.parent.name)
            place.mkdir(parents=True)
            shutil.copyfile(file, place / FILE)
        return
    if is_fresh(url):
        return
    base = _VERSION.sub("", name)
    storage = open_storage(directory, url)
    for found in optuna.get_all_study_names(storage):
        if found == base or _VERSION.sub("", found) == base:
            place = copy.with_name(stem + found.removeprefix(base))
            place.mkdir(parents=True)
            (place / FILE).touch()
            optuna.copy_study(
                from_study_name=found, from_storage=storage, to_storage=open_storage(place, None)
            )


def _in_memory(study: Study) -> Study:
    memory = optuna.storages.InMemoryStorage()
    optuna.copy_study(
        from_study_name=study.study_name, from_storage=study._storage, to_storage=memory
    )
    return optuna.load_study(study_name=study.study_name, storage=memory)


def _simulate(
    reading: Reading, options: Mapping[str, Any], study: Study, scratch: Path, first: float
) -> Upcoming:
    """Claim one trial after the other and let each complete, as long as anything is known."""
    trials = study.get_trials(deepcopy=False)
    forgiven = crashed(trials) if reading.is_grid else frozenset[int]()
    places = _places(reading, options, study, scratch, forgiven)
    count = Tally(forgiven).count(trials)
    done, broken = count.done, count.failures > options["max_failures"] * reading.total
    missing = 0 if broken else max(0, reading.total - done)
    given = {trial.number: trial.params for trial in trials}
    points: list[Mapping[str, Any]] = []
    while len(points) < missing and _is_next_known(study, reading, first):
        claim = places.claim()
        if claim is None:
            break
        number = claim.trial.number
        attributes = study.get_trials(deepcopy=False)[number].system_attrs
        has = {**attributes.get("fixed_params", {}), **given.get(number, {})}
        if number < first or claim.params.keys() <= has.keys():
            points.append(claim.params)
        study.tell(claim.trial, [0.0] * len(reading.directions))
        claim.lease.release()
    return Upcoming(done, tuple(points), missing - len(points))


def _is_next_known(study: Study, reading: Reading, first: float) -> bool:
    """Return whether anything is known of the next trial beyond its place."""
    trials = study.get_trials(deepcopy=False)
    own = sum(not is_imported(trial) for trial in trials)
    begun = any(not trial.state.is_finished() for trial in trials)
    return begun or len(trials) < first or own < len(reading.first)


def _places(
    reading: Reading,
    options: Mapping[str, Any],
    study: Study,
    scratch: Path,
    forgiven: frozenset[int],
) -> Places:
    return Places(
        study,
        scratch,
        reading.total,
        reading.space,
        samplers.Samplers(
            reading.sampler, reading.space, seed_of(study), forgiven, total=reading.total
        ),
        first=reading.first,
        forgiven=forgiven,
        copies=options["copies"],
    )
