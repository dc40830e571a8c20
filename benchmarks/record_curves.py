"""Record the learning curves that ``pruning_quality.py`` replays: one real study, nothing pruned.

Fine-tunes the lower four layers of MiniLM-L6 on a part of the embedded data with random
hyperparameters, batch size among them, as ``run.py -m`` does it for a user, and writes the study's
curves as JSON. A study that was interrupted goes on. Needs ``stagetree assets get minilm_l6 pii``;
60 trials take about a quarter of an hour of one quiet core.

    OMP_NUM_THREADS=1 python benchmarks/record_curves.py
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from optuna import Study, load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from stagetree.data.load import load
from stagetree.data.sources.base import SOURCES
from stagetree.models import tokenizers
from stagetree.models.config import ModelConfig
from stagetree.search.stage_pruner import STAGE_STEPS
from stagetree.tasks.base import TASKS
from stagetree.training.config import TrainingConfig
from stagetree.training.steps import count

PROJECT = Path(__file__).resolve().parents[1]
CURVES = Path(__file__).with_name("data") / "curves_60.json"
STUDY = "curves"
PACKAGES = ("stagetree", "optuna", "hydra-core", "torch", "transformers")


def words(options: argparse.Namespace) -> list[str]:
    """Return the search as a user would type it after ``python run.py``."""
    return [
        "-m",
        "stage=finetune",
        "sampler=random",
        "pruner=none",
        "tracker=none",
        "+model.overrides.num_hidden_layers=4",
        "numerics=bf16",
        "threads=1",
        "progress=false",
        f"data.max_train={options.max_train}",
        f"data.max_validation={options.max_validation}",
        f"stages.finetune.epochs={options.epochs}",
        f"stages.finetune.evaluations={options.evaluations}",
        "stages.finetune.batch_size=choice(4,8,16,32)",
        "stages.finetune.learning_rate=tag(log,interval(5e-5,5e-3))",
        "stages.finetune.layer_decay=interval(0.6,1.0)",
        "stages.finetune.warmup=interval(0.0,0.4)",
        f"hydra.sweeper.n_trials={options.trials}",
        f"hydra.sweeper.study_name={STUDY}",
    ]


def record(options: argparse.Namespace) -> Study:
    """Run the study to its end and open it."""
    subprocess.run(
        [sys.executable, "run.py", *words(options), f"paths.root={options.root}"],
        cwd=PROJECT,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    journal = options.root / "studies" / STUDY / "journal.log"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return load_study(study_name=STUDY, storage=storage)


def examples(options: argparse.Namespace) -> int:
    """Return how many rows the training split has for the model: long texts are several."""
    limits = {"max_train": options.max_train, "max_validation": options.max_validation}
    corpus = load(SOURCES["pii"].Config(kind="pii", **limits))
    task = TASKS["ner"](TASKS["ner"].Config(kind="ner"))
    tokenizer = tokenizers.of_model(ModelConfig("minilm_l6"))
    return len(task.encode(corpus.train, tokenizer, task.labels(corpus), TrainingConfig.max_length))


def curve(trial: FrozenTrial, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return a trial as plain data; ``curve`` is [fraction, optimiser step, F1] an evaluation."""
    config = TrainingConfig(
        batch_size=trial.params["finetune.batch_size"],
        epochs=options.epochs,
        evaluations=options.evaluations,
    )
    step_at = {fraction: step for step, fraction in count(config, rows).evaluations.items()}
    reports = sorted(trial.intermediate_values.items())
    return {
        "number": trial.number,
        "params": trial.params,
        "curve": [
            [step / STAGE_STEPS, step_at[step / STAGE_STEPS], round(value, 6)]
            for step, value in reports
        ],
        "value": trial.value,
        "seconds": trial.user_attrs["notes"]["seconds"],
    }


def main() -> None:
    """Record and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path("runs/benchmark-curves"))
    parser.add_argument("--output", type=Path, default=CURVES)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--max-train", type=int, default=384)
    parser.add_argument("--max-validation", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=8)
    options = parser.parse_args()
    options.root = options.root.resolve()
    study, rows = record(options), examples(options)
    trials = [curve(trial, rows, options) for trial in study.trials if trial.value is not None]
    how = {
        "command": shlex.join(["python", "run.py", *words(options)]),
        "metric": "f1 on the validation split",
        "training_rows": rows,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(trial) for trial in trials)
    head = json.dumps({"recorded": how}, indent=1).removesuffix("\n}")
    options.output.write_text(f'{head},\n"trials": [\n{lines}\n]}}\n')
    quartiles = statistics.quantiles([trial["value"] for trial in trials], n=4)
    print(f"{len(trials)} curves in {options.output}; quartiles of F1: {quartiles}")


if __name__ == "__main__":
    main()
