"""Many workers on one study: is any trial lost or doubled, and how many get done in a second.

Each storage is worked on by ``--workers`` processes, all of which have opened it before the clock
starts, through three doors: plain Optuna's ``ask`` and ``tell``; stagetree's claim of a place and
its ``tell``; and whole workers, as every launcher starts them, whose trials are Hydra jobs. The
trials cost nothing: two random parameters and a parabola. Afterwards each study of ours is
checked: as many trials as asked for, all complete, numbered without a gap, none of them run
twice or by two workers.

The gRPC proxy is ``stagetree storage serve`` in front of the same database.

    OMP_NUM_THREADS=1 python benchmarks/many_workers.py --postgres postgresql+psycopg2://u@host/db
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import resource
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, RunMode
from optuna import Study
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

import machine
from stagetree.core.lease import Lease
from stagetree.search import study as studies
from stagetree.search.attempt import App
from stagetree.search.budget import Budget
from stagetree.search.journal import FILE, open_storage
from stagetree.search.notes import NOTES
from stagetree.search.parameter import Parameter
from stagetree.search.plan import SearchPlan
from stagetree.search.space import Space
from stagetree.search.worker import Worker

SPACE = Space(
    (
        Parameter("x", "x", FloatDistribution(-5, 5)),
        Parameter("y", "y", FloatDistribution(0.01, 10, log=True)),
    )
)
SAMPLER = {"_target_": "optuna.samplers.RandomSampler"}
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Place:
    """A new study: its directory and where its trials are kept."""

    directory: Path
    url: str | None
    name: str
    behind: str | None

    def open(self) -> Study:
        """Open the study as a worker does."""
        return studies.load(self.directory, self.name, self.url)

    def look(self) -> Study:
        """Open the study past the proxy: a process that has used gRPC must not be forked."""
        return studies.load(self.directory, self.name, self.behind)


def created(folder: Path, url: str | None, behind: str | None) -> Place:
    name = uuid.uuid4().hex
    directory = folder / name
    directory.mkdir()
    if url is None:
        (directory / FILE).touch()
    studies.create(name, ["minimize"], open_storage(directory, behind))
    return Place(directory, url, name, behind)


@dataclass(frozen=True)
class TimedPlan(SearchPlan):
    """A plan whose workers wait for each other once they have opened the study."""

    ready: Any = None

    def presence(self) -> Lease:
        """Wait for the others; see :class:`SearchPlan`."""
        self.ready.wait()
        return super().presence()


class Notebook:
    """Notes which worker told which trial."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def trial_finished(self, row: Any, done: int, total: int) -> None:
        """Note the trial."""
        with self.file.open("a") as file:
            file.write(f"{row.number}\n")

    def study_finished(self, rows: list[Any]) -> None:
        """Do nothing."""


def plan(place: Place, total: int, ready: Any) -> TimedPlan:
    return TimedPlan(
        name=place.name, directory=place.directory, storage=place.url, storage_patience=60.0,
        space=SPACE, fixed=(), metrics=(), constraints={}, sampler=SAMPLER,
        pruner=None, total=total, max_attempts=3, max_failures=0.5, budget=Budget(None, None),
        first=(), forgiven=frozenset(), copies=True, wait=True, heartbeat=2.0, grace=20.0,
        command="", ready=ready,
    )  # fmt: skip


def app(place: Place) -> App:
    """Return a Hydra app as its sweeper knows it."""
    version.setbase("1.3")
    ConfigStore.instance().store(name="config", node={"x": 0.0, "y": 1.0})
    hydra = Hydra.create_main_hydra2("bench", create_config_search_path(None))
    line = [
        "hydra/sweeper=stagetree",
        f"hydra.sweep.dir={place.directory}",
        "hydra/job_logging=disabled",
        "hydra/hydra_logging=disabled",
    ]
    config = hydra.compose_config("config", line, run_mode=RunMode.MULTIRUN)
    return App(parabola, HydraContext(hydra.config_loader, Callbacks()), config)


def parabola(cfg: Any) -> float:
    return float(cfg.x) ** 2 + float(cfg.y)


def whole(place: Place, total: int, ready: Any) -> None:
    """Work as a launched worker does."""
    notebook = Notebook(place.directory / f"told-{uuid.uuid4().hex}")
    Worker(plan(place, total, ready), app(place), notebook)()


def claims(place: Place, total: int, ready: Any) -> None:
    """Claim and tell, without a Hydra job in between."""
    study = place.open()
    ours = plan(place, total, ready)
    places = ours.places(study)
    notebook = Notebook(place.directory / f"told-{uuid.uuid4().hex}")
    ready.wait()
    while True:
        claim = places.claim()
        if claim is None:
            if not places.others_running:
                return
            time.sleep(0.1)
            continue
        claim.trial.set_user_attr(NOTES, {"ended": "complete", "seconds": 0.0, "command": ""})
        told = study.tell(claim.trial, claim.trial.params["x"] ** 2 + claim.trial.params["y"])
        claim.lease.release()
        notebook.trial_finished(told, 0, 0)


def bare(place: Place, total: int, ready: Any) -> None:
    """Ask and tell an equal share of the trials in plain Optuna."""
    if place.url is None:
        backend = optuna.storages.journal.JournalFileBackend(str(place.directory / FILE))
        storage: Any = optuna.storages.JournalStorage(backend)
    elif place.url.startswith("grpc://"):
        host, _, port = place.url.removeprefix("grpc://").partition(":")
        storage = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    else:
        storage = place.url
    study = optuna.load_study(study_name=place.name, storage=storage, sampler=RandomSampler())
    ready.wait()
    for _ in range(total // (ready.parties - 1)):
        trial = study.ask(fixed_distributions=SPACE.distributions)
        study.tell(trial, trial.params["x"] ** 2 + trial.params["y"])


DOORS: dict[str, Callable[[Place, int, Any], None]] = {
    "Optuna": bare,
    "claims": claims,
    "workers": whole,
}


def rate(door: str, place: Place, total: int, workers: int) -> tuple[float, float]:
    """Let the workers do all trials; return trials a second, and milliseconds of CPU a trial.

    The CPU time is that of the workers, their opening of the study included, not the server's: it
    depends less on what else the machine does.

    Raises:
        RuntimeError: A worker died.
    """
    ready = FORK.Barrier(workers + 1)
    processes = [
        FORK.Process(target=_silent, args=(DOORS[door], place, total, ready))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    ready.wait(timeout=300)
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for process in processes:
        process.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.perf_counter() - start
    codes = [process.exitcode for process in processes]
    if any(codes):
        raise RuntimeError(f"expected {workers} workers to end well but got {codes}")
    return total / seconds, 1000 * used / total


def _silent(door: Callable[[Place, int, Any], None], *words: Any) -> None:
    logging.disable(logging.INFO)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    door(*words)


def check(place: Place, total: int) -> None:
    """Make sure that no trial was lost or doubled.

    Raises:
        RuntimeError: One was.
    """
    trials = place.look().get_trials(deepcopy=False)
    told = [
        int(line) for file in place.directory.glob("told-*") for line in file.read_text().split()
    ]
    complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    points = len({tuple(trial.params.values()) for trial in trials})
    numbers = [trial.number for trial in trials]
    found = (len(trials), complete, points, sorted(told), numbers)
    if found != (total, total, total, list(range(total)), list(range(total))):
        raise RuntimeError(
            f"expected {total} trials, each complete, told once and a point of its own, but got "
            f"{len(trials)}, {complete} complete, told {len(told)} ({len(set(told))} different), "
            f"{points} points"
        )


@contextlib.contextmanager
def served(url: str) -> Iterator[str]:
    """Serve a database through the gRPC proxy; yield the workers' URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from stagetree.cli import main; main()"
    line = [sys.executable, "-c", code, "storage", "serve", "--storage", url, "--port", str(port)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield f"grpc://127.0.0.1:{port}"
        finally:
            server.terminate()


def measure(label: str, folder: Path, url: str | None, options: argparse.Namespace) -> list[str]:
    rates: dict[str, float] = {}
    costs: dict[str, float] = {}
    for door in options.doors:
        behind = options.postgres if label == "gRPC" else url
        place = created(folder, url, behind)
        try:
            rates[door], costs[door] = rate(door, place, options.trials, options.workers)
        except RuntimeError as error:
            if door != "Optuna":
                raise
            print(f"{label}: plain Optuna: {error}", flush=True)
            continue
        if door != "Optuna":
            check(place, options.trials)
    cells = [f"{rates[door]:.0f}" if door in rates else "" for door in DOORS]
    if "Optuna" in options.doors:
        plain = rates.get("Optuna")
        ratios = [rates[door] / plain if plain and door in rates else None for door in DOORS]
        cells += ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios[1:]]
    cells += [f"{costs[door]:.0f}" if door in costs else "" for door in DOORS]
    print(label, " ".join(cells), flush=True)
    return [label, *cells]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--postgres", help="URL of a database in which studies may be created")
    parser.add_argument("--doors", nargs="+", default=list(DOORS), choices=list(DOORS))
    parser.add_argument("--only", nargs="+", help="Measure these storages only.")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(machine.describe("optuna", "sqlalchemy"), flush=True)
    print(f"{options.workers} workers, {options.trials:,} trials", flush=True)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        urls: dict[str, str | None] = {"journal": None, "SQLite": f"sqlite:///{folder}/optuna.db"}
        if options.postgres:
            urls["PostgreSQL"] = options.postgres
        else:
            print("PostgreSQL skipped: no --postgres given")
        if options.postgres and (not options.only or "gRPC" in options.only):
            urls["gRPC"] = stack.enter_context(served(options.postgres))
        table = [
            measure(label, folder, url, options)
            for label, url in urls.items()
            if not options.only or label in options.only
        ]
    header = ["storage", *(f"{door}/s" for door in DOORS)]
    if "Optuna" in options.doors:
        header += ["claims ratio", "workers ratio"]
    header += [f"{door} CPU ms" for door in DOORS]
    print("\n" + machine.table(header, table))


if __name__ == "__main__":
    main()
