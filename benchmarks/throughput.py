"""Examples a second of our training step beside ``transformers.Trainer`` with its defaults.

All train MiniLM-L6 (BERT, 6 layers of 384) to find personal data in text, from the same weights on
the same rows, one whole pass each on one thread, taking turns: A B C, C B A, ... Trainer: random
batches, dynamic padding, fp32. Ours: random batches without padding, the rows of the word
embeddings that the data uses, and the numerics asked for.
Needs ``stagetree assets get minilm_l6 pii``.

    OMP_NUM_THREADS=1 python benchmarks/throughput.py --numerics fp32 bf16
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    DataCollatorForTokenClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from stagetree.data.load import load
from stagetree.data.sources.base import SOURCES
from stagetree.models import huggingface, tokenizers
from stagetree.models.config import ModelConfig
from stagetree.tasks.base import TASKS
from stagetree.training import numerics
from stagetree.training.batches import Collate, Rows, ShuffledRows, lengths_of
from stagetree.training.config import TrainingConfig
from stagetree.training.objectives import CrossEntropy
from stagetree.training.steps import Steps, count
from stagetree.training.trainer import StageTrainer
from stagetree.training.unpadding import unpadded
from stagetree.training.vocabulary import compact

BATCH = 16
COLUMNS = ["input_ids", "attention_mask", "labels"]
TRAINER = "Trainer fp32"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Problem:
    """What is trained on what."""

    task: Any
    tokenizer: Any
    labels: list[str]
    train: Dataset
    validation: Dataset
    batch: int = BATCH

    @classmethod
    def pii(cls, batch: int = BATCH) -> Problem:
        """Return the default data as the default model reads it, to be trained in such batches."""
        corpus = load(SOURCES["pii"].Config(kind="pii"))
        task = TASKS["ner"](TASKS["ner"].Config(kind="ner"))
        tokenizer = tokenizers.of_model(ModelConfig("minilm_l6"))
        labels = task.labels(corpus)
        splits = (
            task.encode(split, tokenizer, labels, 128)
            for split in (corpus.train, corpus.validation)
        )
        return cls(task, tokenizer, labels, *splits, batch)

    def model(self, seed: int = 0) -> Any:
        """Return the pretrained model with a new head."""
        return huggingface.build(ModelConfig("minilm_l6"), self.task.auto_class, self.labels, seed)


class Clock(TrainerCallback):
    """Takes the CPU time and the wall time of all steps."""

    def __init__(self) -> None:
        self.begin = self.taken = np.zeros(2)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.begin = self._now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the clock."""
        self.taken = self._now() - self.begin

    def _now(self) -> np.ndarray:
        return np.array([time.process_time(), time.perf_counter()])


def default_trainer(
    problem: Problem, model: Any, rows: Dataset, directory: Path, **options: Any
) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(directory),
        per_device_train_batch_size=problem.batch,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        **{"num_train_epochs": 1, **options},
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows.select_columns(COLUMNS),
        data_collator=DataCollatorForTokenClassification(problem.tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def our_trainer(
    problem: Problem, model: Any, rows: Dataset, directory: Path, arithmetic: str
) -> StageTrainer:
    config = TrainingConfig(batch_size=problem.batch, epochs=1)
    steps = count(config, len(rows))
    return StageTrainer(
        model=model,
        rows=Rows(rows),
        sampler=ShuffledRows(lengths_of(rows), problem.batch, seed=0),
        collate=Collate(problem.task.collator(problem.tokenizer)),
        objective=CrossEntropy(),
        config=config,
        steps=Steps(steps.total, steps.per_epoch, steps.micro_batch, steps.accumulation, {}),
        arithmetic=arithmetic,
        seed=0,
        directory=directory,
        evaluated=lambda trainer: None,
        saved=lambda trainer: None,
        callbacks=[],
    )


def seconds(problem: Problem, model: Any, rows: Dataset, arithmetic: str | None) -> np.ndarray:
    """Return the CPU and the wall seconds of one pass; Trainer's when there are no numerics."""
    model, clock = copy.deepcopy(model), Clock()
    ours = arithmetic is not None
    held = compact(model, problem.tokenizer, problem.train, problem.validation)
    with (
        tempfile.TemporaryDirectory() as name,
        numerics.apply(arithmetic or "fp32"),
        held if ours else nullcontext(),
        unpadded(model) if ours else nullcontext(),
    ):
        make: Callable[..., Trainer] = our_trainer if ours else default_trainer
        options = {"arithmetic": arithmetic} if ours else {}
        trainer = make(problem, model, rows, Path(name), **options)
        trainer.add_callback(clock)
        trainer.train()
    return clock.taken


def losses_differ(problem: Problem, model: Any, rows: Dataset) -> float:
    """Return the largest difference of both losses on identical batches: fp32, no dropout."""
    ours, default = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    largest = 0.0
    with (
        tempfile.TemporaryDirectory() as name,
        compact(ours, problem.tokenizer, problem.train, problem.validation),
    ):
        pair = (
            our_trainer(problem, ours, rows, Path(name), "fp32"),
            default_trainer(problem, default, rows, Path(name)),
        )
        size = problem.batch
        for start in range(0, 5 * size, size):
            chosen = Rows(rows.select_columns(COLUMNS)).__getitems__(range(start, start + size))
            batch = pair[1].data_collator(chosen)
            items = batch["labels"].ne(-100).sum()
            one, other = (
                trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=items).item()
                for trainer in pair
            )
            largest = max(largest, abs(one - other))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numerics", nargs="+", default=["fp32"], choices=numerics.NUMERICS)
    parser.add_argument("--examples", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=BATCH)
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem = Problem.pii(options.batch_size)
    model = problem.model()
    rows = problem.train.shuffle(seed=0).select(range(options.examples))
    lengths = lengths_of(rows)
    print(
        f"lengths: mean {lengths.mean():.1f}, median {np.median(lengths):.0f}, max {lengths.max()}"
    )
    difference = losses_differ(problem, model, rows)
    print(f"largest difference of losses on identical batches: {difference:.1e}")
    if difference > TOLERANCE:
        raise SystemExit(f"expected losses to differ by at most {TOLERANCE}")
    turns: dict[str, str | None] = {TRAINER: None}
    turns |= {f"stagetree {name}": name for name in options.numerics}
    rates: dict[str, list[np.ndarray]] = {name: [] for name in turns}
    for round_ in range(options.rounds):
        for name in list(turns)[:: -1 if round_ % 2 else 1]:
            rates[name].append(len(rows) / seconds(problem, model, rows, turns[name]))
        told = (f"{name} {cpu:.1f} ({wall:.1f})" for name, [*_, (cpu, wall)] in rates.items())
        print(f"round {round_ + 1}, examples a CPU (wall) second: " + ", ".join(told), flush=True)
    base = _medians(rates.pop(TRAINER))
    for name, values in rates.items():
        cpu, wall = _medians(values) / base
        print(f"{name}: {cpu:.2f} times Trainer by CPU time, {wall:.2f} times by the clock")


def _medians(rates: list[np.ndarray]) -> np.ndarray:
    return np.median(np.stack(rates), axis=0)


if __name__ == "__main__":
    main()
