"""A grid as Optuna's documentation shows it: ``GridSampler``, all stages every trial.

Every trial appends a line to ``--log``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import chain
import optuna


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    run = chain.opened(options.settings)
    grid = json.loads(Path(options.settings).read_text())["grid"]

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_categorical(name, values) for name, values in grid.items()}
        return run(params, options.seed)

    def ended(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        row = {"state": trial.state.name, "value": trial.value, "end": time.time()}
        with options.log.open("a") as file:
            file.write(json.dumps(row) + "\n")

    sampler = optuna.samplers.GridSampler(grid, seed=options.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=options.trials, callbacks=[ended])


if __name__ == "__main__":
    main()
