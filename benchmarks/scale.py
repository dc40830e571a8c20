"""What asking and telling costs when a study has 100, 1,000 or 10,000 trials already.

Through stagetree's own door, as a worker does it (claim a place, suggest, note, tell), and beside
it plain Optuna's ``ask`` and ``tell`` on the same study with the same sampler: with 1 worker and
with 8 that do nothing else, on a journal file, SQLite and, with ``--postgres``, PostgreSQL. The
studies are filled with ``study.add_trials``. Then a decision of the stage-aware median pruner
beside the plain one's, and the pause between two trials of the whole sweeper, Hydra's job and all.

All figures are medians in milliseconds over all workers; what opening the study takes, once for
each worker, is a column of its own. A study grows by its own measurements: by a few trials of
10,000, by up to half of 100.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --postgres postgresql+psycopg2://user@host/base
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import optuna
import sqlalchemy
from optuna import Study
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, create_trial

import machine
from stagetree.search.journal import FILE, open_storage
from stagetree.search.notes import NOTES
from stagetree.search.parameter import Parameter
from stagetree.search.places import Places
from stagetree.search.samplers import TPE, Samplers, build_sampler
from stagetree.search.space import Space
from stagetree.search.stage_pruner import StageAwarePruner, stage_attribute, step_of

APP = Path(__file__).with_name("programs") / "trivial_app.py"
SPACE = Space(
    (
        Parameter("x", "x", FloatDistribution(-5, 5)),
        Parameter("y", "y", FloatDistribution(0.01, 10, log=True)),
    )
)
SAMPLERS: dict[str, dict[str, Any]] = {
    "random": {"_target_": "optuna.samplers.RandomSampler"},
    "TPE": TPE,
}
STUDY = "study"
DOORS = ("Optuna", "stagetree")
SAMPLES = {1: 10, 8: 3}
"""How many trials each of so many workers asks for, a door and sampler."""


@dataclass(frozen=True)
class Place:
    """Where a study is: its name, its directory, and a database's URL unless it is a journal."""

    name: str
    directory: Path
    url: str | None

    def open(self) -> Study:
        """Open the study."""
        return optuna.load_study(
            study_name=self.name, storage=open_storage(self.directory, self.url)
        )


@dataclass
class Times:
    """Seconds of one worker: opening the study, and each ask and tell by door and sampler.

    ``refused`` counts claims that raised as another worker had just ended the trial: each of them
    ends a worker.
    """

    opening: float
    asks: dict[tuple[str, str], Sequence[float]]
    tells: dict[tuple[str, str], Sequence[float]]
    refused: int


def filled(place: Place, size: int, *, curves: bool = False) -> Place:
    """Create a study with ``size`` complete trials; with ``curves`` each has eight reports."""
    place.directory.mkdir(parents=True)
    (place.directory / FILE).touch()
    storage = open_storage(place.directory, None) if place.url is None else RDBStorage(place.url)
    if isinstance(storage, RDBStorage) and storage.engine.name == "sqlite":
        sqlalchemy.event.listen(storage.engine, "connect", _without_sync)
        storage.engine.dispose()
    study = optuna.create_study(study_name=place.name, storage=storage)
    study.add_trials(list(trials(size, curves=curves)))
    return place


def _without_sync(connection: Any, record: object) -> None:
    """Fill without waiting for the disk; what is measured opens the file again and waits."""
    connection.execute("PRAGMA synchronous=OFF")


def trials(size: int, *, curves: bool) -> Iterator[FrozenTrial]:
    """Yield complete trials of random parameters, noted as a worker notes them."""
    draw = random.Random(0)
    for number in range(size):
        x, y = draw.uniform(-5, 5), 10 ** draw.uniform(-2, 1)
        notes: dict[str, Any] = {"ended": "complete", "seconds": 1.0, "command": f"x={x} y={y}"}
        reports = {step_of(0, part / 8): x**2 + y + 1 / part for part in range(1, 9)}
        stage = {stage_attribute(0): ["finetune", str(number)]}
        yield create_trial(
            params={"x": x, "y": y},
            distributions=SPACE.distributions,
            value=x**2 + y,
            user_attrs={NOTES: notes, **(stage if curves else {})},
            intermediate_values=reports if curves else {},
        )


def optuna_door(study: Study, sampler: BaseSampler) -> tuple[float, float]:
    """Ask for and tell one trial in plain Optuna; return the seconds of both."""
    study.sampler = sampler
    start = time.perf_counter()
    trial = study.ask(fixed_distributions=SPACE.distributions)
    asked = time.perf_counter()
    study.tell(trial, trial.params["x"] ** 2 + trial.params["y"])
    return asked - start, time.perf_counter() - asked


def our_door(study: Study, places: Places) -> tuple[float, float]:
    """Claim and tell one trial with all that a worker reads in between."""
    start = time.perf_counter()
    places.tally.count(study.get_trials(deepcopy=False))
    claim = places.claim()
    assert claim is not None  # places without end
    asked = time.perf_counter()
    command = f"python app.py {' '.join(SPACE.overrides(claim.params))}"
    claim.trial.set_user_attr(NOTES, {"ended": "complete", "seconds": 0.0, "command": command})
    study.tell(claim.trial, claim.trial.params["x"] ** 2 + claim.trial.params["y"])
    places.tally.count(study.get_trials(deepcopy=False))
    claim.lease.release()
    return asked - start, time.perf_counter() - asked


def worker(place: Place, index: int, samples: int, barrier: Barrier) -> Times:
    """Open the study, then measure door by door together with the other workers."""
    start = time.perf_counter()
    study = place.open()
    study.get_trials(deepcopy=False)
    times = Times(time.perf_counter() - start, {}, {}, 0)
    for name, node in SAMPLERS.items():
        kept = build_sampler(node, SPACE, seed=index, number=0)
        given = Samplers(node, SPACE, seed=0)
        places = Places(study, place.directory, sys.maxsize, SPACE, given)
        steps: dict[str, Callable[[], tuple[float, float]]] = {
            "Optuna": partial(optuna_door, study, kept),
            "stagetree": partial(our_door, study, places),
        }
        for door in DOORS:
            barrier.wait()
            pairs: list[tuple[float, float]] = []
            while len(pairs) <= samples:
                try:
                    pairs.append(steps[door]())
                except UpdateFinishedTrialError:
                    times.refused += 1
            asks, tells = zip(*pairs[1:], strict=True)  # the first one warms up
            times.asks[door, name], times.tells[door, name] = asks, tells
    return times


def measure(place: Place, workers: int) -> list[Times]:
    """Run so many workers in processes of their own."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        barrier = manager.Barrier(workers)
        running = [
            pool.submit(worker, place, index, SAMPLES[workers], barrier) for index in range(workers)
        ]
        return [one.result() for one in running]


def milliseconds(values: Sequence[float]) -> str:
    """Return the median as the table shows it."""
    return f"{statistics.median(values) * 1e3:.1f}"


def rows(label: Sequence[str], times: Sequence[Times]) -> Iterator[list[str]]:
    """Yield a line of the table for each sampler."""
    opening = f"{statistics.median(one.opening for one in times):.2f}"
    for sampler in SAMPLERS:
        cells = []
        totals = {}
        for door in DOORS:
            asks = [value for one in times for value in one.asks[door, sampler]]
            tells = [value for one in times for value in one.tells[door, sampler]]
            cells += [milliseconds(asks), milliseconds(tells)]
            totals[door] = statistics.median(asks) + statistics.median(tells)
        above = (totals["stagetree"] - totals["Optuna"]) * 1e3
        yield [*label, sampler, opening, *cells, f"{above:+.1f}"]
    refused = sum(one.refused for one in times)
    if refused:
        print(f"{' '.join(label)}: {refused} claims raised UpdateFinishedTrialError")


def decisions(folder: Path, size: int) -> list[str]:
    """Return the line that says what one decision of either pruner costs."""
    study = filled(Place(STUDY, folder / f"curves-{size}", None), size, curves=True).open()
    median = optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3)
    aware = StageAwarePruner(median)
    taken: dict[str, list[float]] = {"plain": [], "aware": []}
    for number in range(3):
        trial = study.ask(fixed_distributions=SPACE.distributions)
        trial.set_user_attr(stage_attribute(0), ["finetune", f"new {number}"])
        for part in range(1, 9):
            trial.report(0.0, step_of(0, part / 8))
            frozen = study.get_trials(deepcopy=False)[trial.number]
            for name, pruner in (("plain", median), ("aware", aware)):
                start = time.perf_counter()
                pruner.prune(study, frozen)
                taken[name].append(time.perf_counter() - start)
        study.tell(trial, 0.0)
    return [
        f"{size:,}",
        *(cell for own in taken.values() for cell in (milliseconds(own), f"{max(own) * 1e3:.1f}")),
    ]


def pauses(folder: Path, size: int, samples: int = 12) -> list[str]:
    """Return the line on the whole sweeper's pause between trials, with each sampler."""
    cells = []
    for name, node in SAMPLERS.items():
        directory = folder / f"whole-{size}-{name}" / "stagetree_studies" / STUDY
        directory.mkdir(parents=True)
        shutil.copy(folder / f"journal-{size}.log", directory / FILE)
        log = directory / "runs.log"
        words = ["hydra/sweeper=stagetree", "x=interval(-5,5)", "y=tag(log,interval(0.01,10))"]
        words += [f"hydra.sweeper.study_name={STUDY}", f"log={log}", "hydra.sweeper.seed=0"]
        words += [f"hydra.sweeper.n_trials={size + samples}"]
        words += [f"+hydra.sweeper.sampler.{key}={value}" for key, value in node.items()]
        subprocess.run(
            [sys.executable, str(APP), "-m", *words],
            cwd=directory.parents[1],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        runs = [[float(word) for word in line.split()] for line in log.read_text().splitlines()]
        gaps = [later[1] - earlier[2] for earlier, later in itertools.pairwise(runs[1:])]
        cells.append(milliseconds(gaps))
    return [f"{size:,}", *cells]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8], choices=list(SAMPLES))
    parser.add_argument("--postgres", help="URL of a database in which studies may be created")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(machine.describe("optuna", "sqlalchemy"), flush=True)
    if not options.postgres:
        print("PostgreSQL skipped: no --postgres given")
    with tempfile.TemporaryDirectory() as name:
        report(options, Path(name))


def report(options: argparse.Namespace, folder: Path) -> None:
    """Measure and print, table by table."""
    urls = {"journal": None, "SQLite": "sqlite:///{}/optuna.db", "PostgreSQL": options.postgres}
    table: list[list[str]] = []
    for storage, url in urls.items():
        if storage == "PostgreSQL" and not url:
            continue
        for size in options.sizes:
            directory = folder / f"{storage}-{size}"
            start = time.perf_counter()
            name = uuid.uuid4().hex if storage == "PostgreSQL" else STUDY
            place = filled(Place(name, directory, url and url.format(directory)), size)
            if url is None:
                shutil.copy(directory / FILE, folder / f"journal-{size}.log")
            print(
                f"{storage}: {size:,} trials added in {time.perf_counter() - start:.0f} s",
                flush=True,
            )
            for workers in options.workers:
                table += rows([storage, f"{size:,}", str(workers)], measure(place, workers))
                print("; ".join(" ".join(line) for line in table[-2:]), flush=True)
            if storage == "PostgreSQL":
                optuna.delete_study(study_name=place.name, storage=str(url))
    header = ["storage", "trials", "workers", "sampler", "open s", "Optuna ask", "tell"]
    print("\n" + machine.table([*header, "stagetree ask", "tell", "ask + tell more"], table))
    header = ["trials", "plain median", "largest", "stage-aware median", "largest"]
    print("\n" + machine.table(header, [decisions(folder, size) for size in options.sizes]))
    header = ["trials", *(f"whole sweeper, {name}" for name in SAMPLERS)]
    print("\n" + machine.table(header, [pauses(folder, size) for size in options.sizes]))


if __name__ == "__main__":
    main()
