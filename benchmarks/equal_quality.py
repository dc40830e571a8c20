"""Validation F1 after equal epochs: ``transformers.Trainer`` with its defaults, and ours.

Same model, rows, epochs, batch size, learning rate, schedule, warm-up, decay and clipping; what
differs is what makes ours faster (see ``throughput.py``). Takes some minutes.

    OMP_NUM_THREADS=1 python benchmarks/equal_quality.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

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
    evaluator = Evaluator(
        problem.task,
        problem.tokenizer,
        problem.validation,
        problem.labels,
        BatchSize(64, "eval_batch_size"),
    )
    model.eval()
    with torch.inference_mode():
        scores, _ = evaluator(lambda batch: model(**batch).logits.numpy())
    return float(scores.metrics["f1"])


def train_ours(
    problem: Problem, model: Any, rows: Dataset, seed: int, epochs: int, arithmetic: str
) -> float:
    """Return our F1 after the last epoch, scored in the arithmetic of the training."""
    with tempfile.TemporaryDirectory() as name:
        metrics = train(
            Learner(model, problem.tokenizer, problem.labels),
            Lessons(rows, problem.validation),
            problem.task,
            TrainingConfig(batch_size=BATCH, epochs=epochs, evaluations=1),
            CrossEntropy(),
            Alone(Path(name), seed, arithmetic),
        )
    return metrics["f1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem = Problem.pii()
    rows = problem.train.shuffle(seed=0).select(range(options.examples))
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
    for name, values in found.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name}: F1 {statistics.mean(values):.4f} +- {spread:.4f} over {len(values)} seeds")


if __name__ == "__main__":
    main()
