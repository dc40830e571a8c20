"""What tracking costs a trial: the same trials with every tracker, side by side.

Each tracker gets a store of its own and the same trials, in turns, so that whatever else the
machine does hits all of them. Told are the seconds spent inside the tracker, which the trial
waits for, and the whole trial beside the same one without a tracker, which shows what a service
in the background takes away as well. W&B runs offline.

    python benchmarks/tracking.py
    python benchmarks/tracking.py --trackers none wandb tensorboard mlflow
    python benchmarks/tracking.py --trials 3 stage=finetune model=minilm_l6 data.max_train=400
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import machine
from stagetree.core.reporting import Reporter, RunInfo, StageInfo, StageOutcome
from stagetree.pipeline import commandline, runner
from stagetree.pipeline.compose import compose
from stagetree.pipeline.store import Store
from stagetree.tracking.base import trackers

QUICKEST = ("stage=finetune", "debug=short", "model=tiny", "numerics=fp32")


class Timed(Reporter):
    """Passes everything on and adds up how long that takes."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.seconds = 0.0

    def run_started(self, run: RunInfo) -> None:
        """See :meth:`Reporter.run_started`."""
        self._timed(self._reporter.run_started, run)

    def stage_started(self, stage: StageInfo) -> None:
        """See :meth:`Reporter.stage_started`."""
        self._timed(self._reporter.stage_started, stage)

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """See :meth:`Reporter.stepped`."""
        self._timed(self._reporter.stepped, stage, step, total, logs)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """See :meth:`Reporter.evaluated`."""
        self._timed(self._reporter.evaluated, stage, fraction, metrics)

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """See :meth:`Reporter.stage_finished`."""
        self._timed(self._reporter.stage_finished, stage, outcome)

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """See :meth:`Reporter.run_finished`."""
        self._timed(self._reporter.run_finished, status, summary)

    def _timed(self, told: Callable[..., object], *what: Any) -> None:
        start = time.perf_counter()
        told(*what)
        self.seconds += time.perf_counter() - start


def trial(words: Sequence[str], tracker: str, root: Path, number: int) -> tuple[float, float]:
    """Run one trial; return the seconds it took and those spent in its tracker."""
    place = root / tracker
    line = [*words, f"tracker={tracker}", f"paths.root={place}", f"seed={number}"]
    config = commandline.load(line)
    mirror = Timed(trackers(config.tracker, place)[1])
    info = RunInfo(
        f"bench/{number}", place / "trials" / str(number), {"line": line}, study="bench",
        number=number,
    )  # fmt: skip
    start = time.perf_counter()
    pipeline = compose(config)
    runner.run(pipeline, Store(place / "store"), root / "cache", mirror, info)
    return time.perf_counter() - start, mirror.seconds


def row(name: str, found: list[tuple[float, float]], plain: list[tuple[float, float]]) -> list[str]:
    """Return a tracker's line of the table; the first trial, which imports, stands by itself."""
    inside = statistics.median(seconds for _, seconds in found[1:])
    whole = statistics.median(seconds for seconds, _ in found[1:])
    beside = statistics.median(
        one[0] - other[0] for one, other in zip(found[1:], plain[1:], strict=True)
    )
    return [
        name,
        f"{whole:.2f}",
        f"{inside:.3f}",
        f"{max(seconds for _, seconds in found[1:]):.3f}",
        f"{found[0][1]:.2f}",
        f"{100 * inside / whole:.1f} %",
        f"{beside:+.3f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", default=list(QUICKEST), help="the trial")
    parser.add_argument("--trackers", nargs="+", default=["none", "wandb"])
    parser.add_argument("--trials", type=int, default=12)
    options = parser.parse_args()
    os.environ["WANDB_MODE"] = "offline"
    names = ["none", *(name for name in options.trackers if name != "none")]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.trials):
            for name in names:
                found[name].append(trial(options.words, name, Path(folder), number))
    print(machine.describe("wandb", "torch"))
    print(f"{options.trials} trials of {' '.join(options.words)}; medians without the first")
    header = ["tracker", "trial s", "in tracker s", "most s", "first s", "share", "beside none s"]
    print(machine.table(header, [row(name, found[name], found["none"]) for name in names]))


if __name__ == "__main__":
    main()
