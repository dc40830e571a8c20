"""How much of two workers' time is spent inside trials when trials differ 1:10 in length.

Trials sleep 0.5 to 5 s, log-uniformly, so that both cores stay free and what is missing to 100 %
is the search's own doing. Counted from the start of the first trial to the end of the last; what
comes before, starting the processes, is stated apart. Beside it, *computed* from the same lengths
in the same order: batches with a barrier, where a batch lasts as long as its longest trial, and
the most that any launcher could reach without a pause between trials.

    OMP_NUM_THREADS=1 python benchmarks/utilisation.py
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import machine

APP = Path(__file__).with_name("programs") / "trivial_app.py"
TARGET = 0.95


@dataclass(frozen=True)
class Run:
    """One objective: who ran it, and from when to when in seconds since 1970."""

    worker: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.end - self.start


def search(options: argparse.Namespace) -> tuple[list[Run], float]:
    """Run the search; return its trials in the order of their starts, and its start-up."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs.log"
        start = time.time()
        subprocess.run(
            [
                sys.executable,
                str(APP),
                "-m",
                "hydra/sweeper=stagetree",
                f"pause=tag(log,interval({options.shortest},{options.longest}))",
                "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler",
                "hydra.sweeper.seed=0",
                f"hydra.sweeper.n_trials={options.trials}",
                f"hydra.sweeper.n_workers={options.workers}",
                f"log={log}",
            ],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        lines = (line.split() for line in log.read_text().splitlines())
        runs = [Run(int(worker), float(begin), float(end)) for worker, begin, end in lines]
    runs.sort(key=lambda run: run.start)
    return runs, runs[0].start - start


def pauses(runs: Sequence[Run]) -> list[float]:
    """Return the seconds between a worker's trials."""
    by_worker: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_worker[run.worker].append(run)
    return [
        later.start - earlier.end
        for own in by_worker.values()
        for earlier, later in itertools.pairwise(own)
    ]


def batches(lengths: Sequence[float], workers: int) -> float:
    """Return how long batches of ``workers`` trials take when each waits for its longest."""
    starts = range(0, len(lengths), workers)
    return sum(max(lengths[start : start + workers]) for start in starts)


def without_pause(lengths: Sequence[float], workers: int) -> float:
    """Return how long the trials take when a free worker takes the next one at once."""
    free = [0.0] * workers
    for length in lengths:
        first = free.index(min(free))
        free[first] += length
    return max(free)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shortest", type=float, default=0.5, help="seconds")
    parser.add_argument("--longest", type=float, default=5.0, help="seconds")
    options = parser.parse_args()
    print(machine.describe("optuna", "hydra-core"))
    runs, start_up = search(options)
    if len(runs) != options.trials:
        raise SystemExit(f"expected {options.trials} trials but got {len(runs)}")
    lengths = [run.seconds for run in runs]
    between = pauses(runs)
    print(f"{len(runs)} trials of {min(lengths):.2f} to {max(lengths):.2f} s")
    print(f"start-up, to the first trial: {start_up:.2f} s; load after: {os.getloadavg()[0]:.1f}")
    print(
        f"pause between a worker's trials: median {statistics.median(between) * 1e3:.0f} ms, "
        f"largest {max(between) * 1e3:.0f} ms"
    )
    spans = {
        "stagetree, measured": max(run.end for run in runs) - runs[0].start,
        "batches with a barrier, computed": batches(lengths, options.workers),
        "no pause at all, computed": without_pause(lengths, options.workers),
    }
    used = {name: sum(lengths) / (options.workers * span) for name, span in spans.items()}
    reached = used["stagetree, measured"]
    verdict = "met" if reached >= TARGET else "missed"
    print(f"{reached:.1%} of the workers' time in trials (target {TARGET:.0%}): {verdict}\n")
    header = [f"{options.workers} workers", "seconds", "in trials", "against ours"]
    ours = spans["stagetree, measured"]
    print(
        machine.table(
            header,
            (
                [name, f"{span:.1f}", f"{used[name]:.1%}", f"{span / ours:.2f}"]
                for name, span in spans.items()
            ),
        )
    )


if __name__ == "__main__":
    main()
