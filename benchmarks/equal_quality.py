"""F1 after equal epochs: ``transformers.Trainer`` with its defaults, and ours.

Same model, rows, epochs, batch size, learning rate, schedule, warm-up, decay and clipping; what
differs is what makes ours faster (see ``throughput.py``). Scored on the validation split and on
training rows that were left out, as 400 rows alone scatter by two points. Differences are paired
by seed. Takes four CPU minutes a seed.

    OMP_NUM_THREADS=1 python benchmarks/equal_quality.py
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets

from stagetree.training import numerics
from stagetree.training.config import TrainingConfig
from stagetree.training.engine import train
from stagetree.training.evaluation import Evaluator
from stagetree.training.learner import Learner, Lessons
from stagetree.training.memory import BatchSize
from stagetree.training.objectives import CrossEntropy
from throughput import BATCH, TRAINER, Problem, default_trainer


@dataclass(frozen=True)
class Alone:
    """A stage that nobody listens to."""

    scratch: Path
    seed: int
    numerics: str

    @property
    def cache(self) -> Path:
        """Return a directory for what may be computed again."""
        return self.scratch / "cache"

    def stepped(self, step: int, total: int, logs: Any) -> None:
        """Hear nothing."""

    def evaluated(self, fraction: float, metrics: Any) -> None:
        """Hear nothing."""


def train_default(problem: Problem, model: Any, rows: Dataset, seed: int, epochs: int) -> float:
    """Return Trainer's F1 after the last epoch."""
    ours = TrainingConfig()
    with tempfile.TemporaryDirectory() as name:
        default_trainer(
            problem,
            model,
            rows,
            Path(name),
            num_train_epochs=epochs,
            seed=seed,
            learning_rate=ours.learning_rate,
            warmup_steps=ours.warmup,
            weight_decay=ours.weight_decay,
        ).train()
    return score(problem, model, "fp32")


def train_ours(
    problem: Problem, model: Any, rows: Dataset, seed: int, epochs: int, arithmetic: str
) -> float:
    """Return our F1 after the last epoch, scored in the arithmetic of the training."""
    with tempfile.TemporaryDirectory() as name:
        train(
            Learner(model, problem.tokenizer, problem.labels),
            Lessons(rows, problem.validation),
            problem.task,
            TrainingConfig(batch_size=BATCH, epochs=epochs, evaluations=1),
            CrossEntropy(),
            Alone(Path(name), seed, arithmetic),
        )
    return score(problem, model, arithmetic)


def score(problem: Problem, model: Any, arithmetic: str) -> float:
    """Return a model's F1 on the problem's validation rows."""
    size = BatchSize(64, "eval_batch_size")
    evaluator = Evaluator(problem.task, problem.tokenizer, problem.validation, problem.labels, size)
    model.eval()
    with torch.inference_mode(), numerics.autocast(arithmetic, "cpu"):
        scores, _ = evaluator(lambda batch: model(**batch).logits.float().numpy())
    return float(scores.metrics["f1"])


def with_held_out(problem: Problem, examples: int, held_out: int) -> tuple[Problem, Dataset]:
    """Return the problem with more rows to score on, and its training rows."""
    rows = problem.train.shuffle(seed=0)
    spare = rows.select(range(examples, min(examples + held_out, len(rows))))
    validation = concatenate_datasets([problem.validation, spare])
    return dataclasses.replace(problem, validation=validation), rows.select(range(examples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--held-out", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem, rows = with_held_out(Problem.pii(), options.examples, options.held_out)
    found: dict[str, list[float]] = {TRAINER: [], "stagetree fp32": [], "stagetree bf16": []}
    for seed in range(options.seeds):
        for name, values in found.items():
            model, begin = problem.model(seed), time.process_time()
            arguments = (problem, model, rows, seed, options.epochs)
            if name == TRAINER:
                values.append(train_default(*arguments))
            else:
                values.append(train_ours(*arguments, arithmetic=name.split()[-1]))
            taken = time.process_time() - begin
            print(f"seed {seed}: {name} F1 {values[-1]:.4f}, {taken:.0f} CPU s", flush=True)
    report(found)


def report(found: dict[str, list[float]]) -> None:
    """Print means, and differences to Trainer with the standard error over seeds."""
    base = np.array(found[TRAINER])
    for name, values in found.items():
        print(f"{name}: F1 {np.mean(values):.4f} over {len(values)} seeds", end="")
        differences = np.array(values) - base
        if name != TRAINER and len(values) > 1:
            error = differences.std(ddof=1) / np.sqrt(len(values))
            print(f", {differences.mean():+.4f} +- {error:.4f} to Trainer", end="")
        print()


if __name__ == "__main__":
    main()
