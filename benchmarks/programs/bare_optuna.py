"""The search of ``overhead_search.py`` in plain Optuna: ``study.optimize``, one process."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--study", required=True)
    parser.add_argument("--journal", help="file of a journal storage")
    parser.add_argument("--url", help="URL of a database, instead")
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--sampler", type=json.loads, required=True, help="class and options")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        start = time.time()
        value = trial.suggest_float("x", -5, 5) ** 2 + trial.suggest_float("y", 0.01, 10, log=True)
        with options.log.open("a") as file:
            file.write(f"{os.getpid()} {start} {time.time()}\n")
        return value

    kind, arguments = options.sampler
    study = optuna.create_study(
        study_name=options.study,
        storage=options.url or JournalStorage(JournalFileBackend(options.journal)),
        sampler=getattr(optuna.samplers, kind)(seed=0, **arguments),
    )
    study.optimize(objective, n_trials=options.trials)


if __name__ == "__main__":
    main()
