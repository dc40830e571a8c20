"""A grid as Optuna's documentation shows it: ``GridSampler``, all stages every trial.

Every trial appends a line to ``--log``.
"""

from __future__ import annotations

import json
from pathlib import Path

import chain
import optuna
from study import arguments, note


def main() -> None:
    options = arguments(__doc__).parse_args()
    run = chain.opened(options.settings)
    grid = json.loads(Path(options.settings).read_text())["grid"]

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_categorical(name, values) for name, values in grid.items()}
        return run(params, options.seed)

    def ended(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        note(options.log, trial.state.name, trial.value)

    sampler = optuna.samplers.GridSampler(grid, seed=options.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=options.trials, callbacks=[ended])


if __name__ == "__main__":
    main()
