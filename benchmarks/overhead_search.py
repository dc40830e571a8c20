"""What a search costs a trial beside the trial itself: an objective that costs nothing, 100 times.

Bare Optuna (``study.optimize``), stagetree's sweeper, Hydra's own basic sweeper and Ray Tune with
``OptunaSearch``, each in a process of its own, one trial at a time, on a journal file where there
is a choice. A trial's cost is the time between the ends of two successive objectives; start-up is
the time from starting the process to the end of the first one. Ray runs from another environment
(``python -m venv V && V/bin/pip install "ray[tune]" optuna``), both as it comes, with a new
process for every trial, and with ``reuse_actors``.

    OMP_NUM_THREADS=1 python benchmarks/overhead_search.py --ray-python V/bin/python
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from stagetree.search.samplers import TPE

PROGRAMS = Path(__file__).with_name("programs")
TARGET = 0.1
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "TPE": ("TPESampler", {key: value for key, value in TPE.items() if key != "_target_"}),
    "random": ("RandomSampler", {}),
}


@dataclass(frozen=True)
class Contender:
    """A way to run the same search.

    Attributes:
        name: What the table calls it.
        command: The program, less its log file.
        log: Text before the log file's path.
    """

    name: str
    command: list[str]
    log: str


@dataclass(frozen=True)
class Measured:
    """Seconds of one search, and the load of the machine before it."""

    start_up: float
    trials: list[float]
    load: float


def measure(contender: Contender, folder: Path, trials: int) -> Measured:
    """Run one search in a fresh process.

    Raises:
        SystemExit: It failed, or did not run all trials.
    """
    log = folder / "ends.log"
    words = [*contender.command, f"{contender.log}{log}"]
    load, start = os.getloadavg()[0], time.time()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    ends = [float(line.split()[2]) for line in log.read_text().splitlines()] if log.exists() else []
    if done.returncode or len(ends) != trials:
        raise SystemExit(
            f"{contender.name}: expected {trials} trials but got {len(ends)}, "
            f"exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    gaps = [later - earlier for earlier, later in itertools.pairwise(ends)]
    return Measured(ends[0] - start, gaps, load)


def bare(sampler: str, storage: str, trials: int) -> Contender:
    """Return plain Optuna."""
    command = [sys.executable, str(PROGRAMS / "bare_optuna.py"), "--study", uuid.uuid4().hex]
    command += ["--trials", str(trials), "--sampler", json.dumps(SAMPLERS[sampler])]
    place = {"journal": ["--journal", "journal.log"], "sqlite": ["--url", "sqlite:///optuna.db"]}
    command += place.get(storage, ["--url", storage])
    return Contender(f"Optuna, {sampler}", command, "--log=")


def ours(sampler: str, storage: str, trials: int) -> Contender:
    """Return stagetree's sweeper."""
    command = [sys.executable, str(PROGRAMS / "trivial_app.py"), "-m", "hydra/sweeper=stagetree"]
    command += ["x=interval(-5,5)", "y=tag(log,interval(0.01,10))"]
    command += [f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.seed=0"]
    command += [f"hydra.sweeper.study_name={uuid.uuid4().hex}"]
    kind, arguments = SAMPLERS[sampler]
    node = {"_target_": f"optuna.samplers.{kind}", **arguments}
    command += [f"+hydra.sweeper.sampler.{key}={value}" for key, value in node.items()]
    if storage != "journal":
        url = "sqlite:///optuna.db" if storage == "sqlite" else storage
        command += [f"hydra.sweeper.storage='{url}'"]
    return Contender(f"stagetree, {sampler}", command, "log=")


def basic(trials: int) -> Contender:
    """Return Hydra's own sweeper, which samples and stores nothing."""
    command = [sys.executable, str(PROGRAMS / "trivial_app.py"), "-m", "hydra/sweeper=basic"]
    return Contender("Hydra's basic sweeper", [*command, f"x=range({trials})"], "log=")


def ray(python: Path, trials: int, *, reuse: bool) -> Contender:
    """Return Ray Tune."""
    command = [str(python), str(PROGRAMS / "ray_tune.py"), "--trials", str(trials)]
    command += ["--sampler", json.dumps(SAMPLERS["TPE"]), "--folder", "."]
    command += ["--reuse-actors"] if reuse else []
    return Contender(f"Ray Tune, TPE{', reuse_actors' if reuse else ''}", command, "--log=")


def ray_versions(python: Path | None) -> str | None:
    """Return the versions of Ray and Optuna there, or ``None`` where they cannot be imported."""
    if python is None:
        print("Ray Tune skipped: no --ray-python given")
        return None
    words = [str(python), str(PROGRAMS / "ray_tune.py"), "--versions"]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    if told.returncode:
        print(f"Ray Tune skipped: {python} cannot import it: {told.stderr.splitlines()[-1:]}")
        return None
    return told.stdout


def row(name: str, found: Measured, base: float) -> list[str]:
    """Return a contender's line of the table."""
    median = statistics.median(found.trials)
    return [
        name,
        f"{median * 1e3:.1f}",
        f"{statistics.mean(found.trials) * 1e3:.1f}",
        f"{max(found.trials) * 1e3:.0f}",
        f"{median / base:.1f}",
        f"{found.start_up:.1f}",
        f"{found.load:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument(
        "--storage", default="journal", help="journal, sqlite or a database's URL; not for Ray"
    )
    parser.add_argument("--ray-python", type=Path, help="a Python that can import ray[tune]")
    options = parser.parse_args()
    print(machine.describe("optuna", "hydra-core"))
    contenders = [
        make(name, options.storage, options.trials) for name in SAMPLERS for make in (bare, ours)
    ]
    contenders.append(basic(options.trials))
    versions = ray_versions(options.ray_python)
    if versions:
        print(f"Ray's environment: {versions}")
        contenders += [
            ray(options.ray_python.absolute(), options.trials, reuse=reuse)
            for reuse in (False, True)
        ]
    found: dict[str, Measured] = {}
    for contender in contenders:
        with tempfile.TemporaryDirectory() as folder:
            found[contender.name] = measure(contender, Path(folder), options.trials)
        median = statistics.median(found[contender.name].trials)
        print(f"{contender.name}: {median * 1e3:.1f} ms a trial", flush=True)
    medians = {name: statistics.median(one.trials) for name, one in found.items()}
    for name in SAMPLERS:
        above = medians[f"stagetree, {name}"] - medians[f"Optuna, {name}"]
        verdict = "met" if above <= TARGET else "missed"
        print(
            f"{name}: {above * 1e3:.0f} ms above bare Optuna (target {TARGET * 1e3:.0f}): {verdict}"
        )
    print(f"\n{options.trials} trials, {options.storage} storage\n")
    header = ["", "median ms", "mean ms", "largest ms", "times Optuna", "start-up s", "load before"]
    base = medians["Optuna, TPE"]
    print(machine.table(header, (row(name, one, base) for name, one in found.items())))


if __name__ == "__main__":
    main()
