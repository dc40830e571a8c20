"""What trainings of different length save by sharing the constant part of their schedule.

MiniLM-L6 (BERT, 6 layers of 384) learns to find personal data in text for 2, 4, 6 and 8 epochs,
under ``warmup_stable_decay`` with the default decay of a fifth, through the pipeline as a search
runs it: data, tokenising, training with an evaluation an epoch, scoring, publishing. Each side is a
fresh process with a fresh store, one thread, in ABBA order; the sides differ in ``fork`` only.

``training`` is CPU time in training: steps, evaluations, checkpoints, forks. ``process`` is that of
the whole process, with the import of torch and what else is the same on both sides. ``bound`` is
what counting steps gives. ``fork`` is wall time in naming the trunk, finding the checkpoint and
planting it; what a resume does too (checksums of the files, loading them) is not in it. Weights and
learning curves are compared bit by bit. Needs ``stagetree assets get minilm_l6 pii``.

    OMP_NUM_THREADS=1 python benchmarks/search/trunk.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "benchmarks"))

from machine import describe, table  # noqa: E402 - it lies one directory up

HORIZONS = (2, 4, 6, 8)
ORDER = (False, True, True, False)
"""Which processes share, in order."""


class Watch:
    """Time spent in functions, by name: CPU seconds, wall seconds, calls."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    def over(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, watched."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu
                self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall

        return watched


def words(rows: int, validation: int, epochs: int, share: bool) -> list[str]:
    """Return the overrides of one run."""
    return [
        "stage=finetune",
        "model=minilm_l6",
        "numerics=fp32",
        "tracker=none",
        f"data.max_train={rows}",
        f"data.max_validation={validation}",
        "stages.finetune.schedule=warmup_stable_decay",
        "stages.finetune.warmup_steps=5",
        "stages.finetune.evaluate_every=1",
        f"stages.finetune.epochs={epochs}",
        f"stages.finetune.fork={str(share).lower()}",
    ]


def measure(root: Path, rows: int, validation: int, share: bool) -> list[dict[str, Any]]:
    """Train for every horizon, one after the other, and return a row for each."""
    import torch

    from stagetree.core.reporting import Reporter, RunInfo
    from stagetree.pipeline import runner
    from stagetree.pipeline.commandline import load
    from stagetree.pipeline.compose import compose
    from stagetree.pipeline.store import Store
    from stagetree.training import checkpoint, engine, fit, forks

    torch.set_num_threads(1)
    store, found = Store(root / "store"), []
    train, begin, last = engine.train, forks.Forks.begin, checkpoint.Checkpoints.last
    make = forks.Forks.__init__
    for epochs in HORIZONS:
        watch = Watch()
        fit.train = watch.over("training", train)
        forks.Forks.begin = watch.over("begin", begin)  # type: ignore[method-assign]
        forks.Forks.__init__ = watch.over("begin", make)  # type: ignore[method-assign]
        checkpoint.Checkpoints.last = watch.over("last", last)  # type: ignore[method-assign]
        pipeline = compose(load(words(rows, validation, epochs, share)))
        runner.run(pipeline, store, root / "cache", Reporter(), RunInfo("run", root, {}))
        record = store.get(pipeline.nodes[0].signature)
        assert record is not None
        found.append(
            {
                "epochs": epochs,
                "training": watch.cpu["training"],
                "fork": watch.wall["begin"] - watch.wall["last"],
                "forked": dict(record.forked),
                "weights": record.files["model.safetensors"].sha256,
                "curve": [[point["fraction"], dict(point["metrics"])] for point in record.curve],
            }
        )
    return found


def one(options: argparse.Namespace, share: bool) -> dict[str, Any]:
    """Measure in a fresh process with a fresh store."""
    flags = ["--rows", str(options.rows), "--validation", str(options.validation)]
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, __file__, "--measure", root, *flags]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = subprocess.run(
            [*command, *(["--share"] if share else [])],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "STAGETREE_PROJECT": str(PROJECT)},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"process": process, "rows": json.loads(answer.stdout.splitlines()[-1])}


def bound(rows: Sequence[Mapping[str, Any]], steps: int) -> float:
    """Return how many times fewer steps the runs that fork make."""
    whole = [row["epochs"] * steps for row in rows]
    saved = [row["forked"].get("step", 0) for row in rows]
    return sum(whole) / (sum(whole) - sum(saved))


def compare(apart: Sequence[Any], shared: Sequence[Any], steps: int) -> str:
    """Return the tables and the verdict."""
    lines = []
    for place, epochs in enumerate(HORIZONS):
        means = [
            statistics.fmean(side["rows"][place]["training"] for side in sides)
            for sides in (apart, shared)
        ]
        forked = shared[0]["rows"][place]
        lines.append(
            (
                f"{epochs} epochs",
                str(forked["forked"].get("step", 0)),
                f"{means[0]:.1f}",
                f"{means[1]:.1f}",
                f"{means[0] / means[1]:.2f}",
                " ".join(f"{1000 * side['rows'][place]['fork']:.0f}" for side in shared),
            )
        )
    header = ("run", "fork after step", "alone s", "shared s", "times", "fork ms")
    sums = [
        [sum(row["training"] for row in side["rows"]) for side in sides]
        for sides in (apart, shared)
    ]
    whole = [[side["process"] for side in sides] for sides in (apart, shared)]
    totals = [
        (name, _spread(values[0]), _spread(values[1]), f"{sum(values[0]) / sum(values[1]):.2f}")
        for name, values in (("training", sums), ("process", whole))
    ]
    reached = ("", "", "", f"{bound(shared[0]['rows'], steps):.2f}")
    totals.append(("bound, by counting steps", *reached[1:]))
    everything = [*apart, *shared]
    equal = all(
        row[what] == other[what]
        for side in everything
        for row, other in zip(side["rows"], apart[0]["rows"], strict=True)
        for what in ("weights", "curve")
    )
    verdict = "bit-equal in all runs" if equal else "THEY DIFFER"
    return "\n\n".join(
        [
            table(header, lines),
            table(("CPU seconds, 4 runs", "alone", "shared", "times fewer"), totals),
            f"weights and curves: {verdict}",
        ]
    )


def _spread(values: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--validation", type=int, default=32)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--share", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        found = measure(options.measure, options.rows, options.validation, options.share)
        print(json.dumps(found))
        return
    print(describe("torch", "transformers"))
    sides: dict[bool, list[Any]] = {False: [], True: []}
    for share in ORDER:
        side = one(options, share)
        training = sum(row["training"] for row in side["rows"])
        name = "shared" if share else "alone"
        print(f"{name}: training {training:.1f}, process {side['process']:.1f} CPU s", flush=True)
        sides[share].append(side)
    print(compare(sides[False], sides[True], -(-options.rows // 16)))


if __name__ == "__main__":
    main()
