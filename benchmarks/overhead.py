"""What a trial costs beyond its stages, and what showing a configuration costs.

Runs a small grid once to fill a store, and then as another study: every stage comes from the
store, so that what a trial takes is all overhead: asking, composing, the Hydra job, replaying
curves, the local record, a W&B offline run, telling.

    python benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SHORT = ("debug=short", "model=tiny", "numerics=fp32")


def run(*words: str) -> float:
    """Run the command line; return its seconds."""
    environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, str(PROJECT / "run.py"), *words],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def trial_seconds(root: Path, study: str) -> list[float]:
    """Return what each trial of a study took, by number."""
    code = "from stagetree.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", code, "trials", study, "--root", str(root), "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [row["seconds"] for row in json.loads(answer.stdout)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for words in (("--cfg", "job"), ("--help",)):
        taken = sorted(run(*words) for _ in range(options.rounds))
        print(f"run.py {' '.join(words):10} {statistics.median(taken):.2f} s (median of {taken})")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        weights = ",".join(str(index / 1000) for index in range(options.trials // 2))
        grid = (
            "-m",
            "stage=finetune",
            f"stages.finetune.weight_decay={weights}",
            "stages.finetune.learning_rate=1e-3,2e-3",
            f"paths.root={root}",
            *SHORT,
        )
        for tracker in ("none", "wandb"):
            run(*grid, f"tracker={tracker}", "hydra.sweeper.study_name=fill")
            run(*grid, f"tracker={tracker}", f"hydra.sweeper.study_name={tracker}")
            seconds = trial_seconds(root, tracker)
            print(
                f"overhead a trial, tracker={tracker}: median {statistics.median(seconds):.3f} s, "
                f"first {seconds[0]:.3f} s, largest later {max(seconds[1:]):.3f} s"
            )


if __name__ == "__main__":
    main()
