"""The search of ``overhead_search.py`` in Ray Tune with ``OptunaSearch``, one trial at a time.

Runs in an environment of its own (``pip install "ray[tune]" optuna``) and imports nothing of ours.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray import tune
from ray.tune.search.optuna import OptunaSearch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", action="store_true", help="print versions and stop")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--folder", type=Path, help="where Ray puts its results")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--sampler", type=json.loads, help="class and options")
    parser.add_argument("--reuse-actors", action="store_true")
    options = parser.parse_args()
    if options.versions:
        names = ("ray", "optuna")
        sys.stdout.write(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
        return
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    log, folder = options.log.resolve(), options.folder.resolve()

    def objective(config: dict[str, Any]) -> None:
        start = time.time()
        value = config["x"] ** 2 + config["y"]
        with log.open("a") as file:
            file.write(f"{os.getpid()} {start} {time.time()}\n")
        tune.report({"loss": value})

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    kind, arguments = options.sampler
    search = OptunaSearch(
        sampler=getattr(optuna.samplers, kind)(seed=0, **arguments),
        study_name="search",
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
    )
    tuner = tune.Tuner(
        objective,
        param_space={"x": tune.uniform(-5, 5), "y": tune.loguniform(0.01, 10)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=search,
            num_samples=options.trials,
            max_concurrent_trials=1,
            reuse_actors=options.reuse_actors,
        ),
        run_config=tune.RunConfig(name="search", storage_path=str(folder), verbose=0),
    )
    results = tuner.fit()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed: {results.errors[0]}")
    ray.shutdown()


if __name__ == "__main__":
    main()
