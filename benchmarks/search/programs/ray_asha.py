"""A study as Ray Tune's documentation shows it: ASHA with ``OptunaSearch``, one trial at a time."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from study import arguments, note

HERE = str(Path(__file__).parent)


class Log(tune.Callback):
    """Appends a line when a trial ends; one that ASHA ended before its last stage was pruned."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write the line."""
        done = trial.last_result.get("whole", False)
        value = trial.last_result["f1"] if done else None
        note(self._path, "COMPLETE" if done else "PRUNED", value)


def main() -> None:
    options = arguments(__doc__).parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    settings, seed = options.settings, options.seed
    chosen = json.loads(Path(settings).read_text())
    evaluations = chosen["epochs"] + chosen["recovery"] + 1

    def trainable(config: dict[str, Any]) -> None:
        import chain

        def report(value: float) -> None:
            tune.report({"f1": value, "whole": False})

        value = chain.opened(settings)(config, seed, report)
        tune.report({"f1": value, "whole": True})

    ray.init(
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": HERE, "OMP_NUM_THREADS": "1"}},
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={
                "finetune_rate": tune.choice([3e-4, 6e-4]),
                "ffn": tune.choice([0.5, 0.75]),
                "distill_rate": tune.loguniform(2e-4, 2e-3),
                "temperature": tune.uniform(1.0, 4.0),
                "alpha": tune.uniform(0.2, 0.9),
            },
            tune_config=tune.TuneConfig(
                metric="f1",
                mode="max",
                search_alg=OptunaSearch(seed=seed),
                scheduler=ASHAScheduler(max_t=evaluations),
                num_samples=options.trials,
                max_concurrent_trials=1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="study", storage_path=folder, verbose=0, callbacks=[Log(options.log)]
            ),
        )
        results = tuner.fit()
    ray.shutdown()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed: {results.errors[0]}")


if __name__ == "__main__":
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    main()
