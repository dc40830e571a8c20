"""A study as Optuna's documentation shows it: TPE and the median pruner, all stages every trial.

``--sampler random`` draws at random and ends nothing. Every trial appends a line to ``--log``.
"""

from __future__ import annotations

import chain
import optuna
from study import arguments, note


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sampler", choices=["tpe", "random"], default="tpe")
    options = parser.parse_args()
    run = chain.opened(options.settings)

    def objective(trial: optuna.Trial) -> float:
        params = {
            "finetune_rate": trial.suggest_categorical("finetune_rate", [3e-4, 6e-4]),
            "ffn": trial.suggest_categorical("ffn", [0.5, 0.75]),
            "distill_rate": trial.suggest_float("distill_rate", 2e-4, 2e-3, log=True),
            "temperature": trial.suggest_float("temperature", 1.0, 4.0),
            "alpha": trial.suggest_float("alpha", 0.2, 0.9),
        }
        steps = iter(range(1_000))

        def report(value: float) -> None:
            trial.report(value, next(steps))
            if trial.should_prune():
                raise optuna.TrialPruned

        return run(params, options.seed, report)

    def ended(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        note(options.log, trial.state.name, trial.value)

    random = options.sampler == "random"
    seeded = optuna.samplers.RandomSampler if random else optuna.samplers.TPESampler
    study = optuna.create_study(
        direction="maximize",
        sampler=seeded(seed=options.seed),
        pruner=optuna.pruners.NopPruner() if random else optuna.pruners.MedianPruner(),
    )
    study.optimize(objective, n_trials=options.trials, callbacks=[ended])


if __name__ == "__main__":
    main()
