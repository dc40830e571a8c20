from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from stagetree.tasks.base import IGNORED, Scores, Task, TaskConfig
from stagetree.training.config import TrainingConfig
from stagetree.training.learner import Learner, Lessons
from stagetree.training.objectives import CrossEntropy

torch.set_num_threads(1)
LABELS = ["O", "B-X", "I-X"]
WORDS = 60
DEFAULTS: dict[str, Any] = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3}


class Tagging(Task):
    """A word is an ``X`` when its number is a multiple of three."""

    kind = "tagging"
    layout = "tokens"
    Config = TaskConfig
    primary_metric = "accuracy"
    auto_class = "AutoModelForTokenClassification"

    def labels(self, corpus: Any) -> list[str]:
        return LABELS

    def encode(self, examples: Any, tokenizer: Any, labels: Any, max_length: int) -> Dataset:
        rows: Dataset = examples
        return rows

    def collator(self, tokenizer: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
        def collate(rows: Sequence[Any]) -> dict[str, Any]:
            longest = max(len(row["input_ids"]) for row in rows)

            def pad(name: str, value: int) -> torch.Tensor:
                return torch.tensor(
                    [list(row[name]) + [value] * (longest - len(row[name])) for row in rows]
                )

            return {
                "input_ids": pad("input_ids", 0),
                "attention_mask": pad("attention_mask", 0),
                "labels": pad("labels", IGNORED),
            }

        return collate

    def score(self, logits: Any, label_ids: Any, labels: Any) -> Scores:
        right = [
            float((row.argmax(-1) == gold)[gold != IGNORED].mean())
            for row, gold in zip(logits, label_ids, strict=True)
        ]
        return Scores({"accuracy": float(np.mean(right))}, {})


def make_rows(count: int, seed: int) -> Dataset:
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        length = int(generator.integers(3, 20))
        ids = generator.integers(4, 4 + WORDS, length).tolist()
        labels = [IGNORED, *(1 if word % 3 == 0 else 0 for word in ids[1:-1]), IGNORED]
        rows.append(
            {
                "input_ids": ids,
                "attention_mask": [1] * length,
                "labels": labels,
                "length": length,
            }
        )
    return Dataset.from_list(rows)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    vocabulary |= {f"w{index}": 4 + index for index in range(WORDS)}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture(scope="session")
def train_rows() -> Dataset:
    return make_rows(75, seed=1)


@pytest.fixture(scope="session")
def validation_rows() -> Dataset:
    return make_rows(30, seed=2)


@pytest.fixture
def task() -> Tagging:
    return Tagging(TaskConfig("tagging"))


@pytest.fixture
def make_model() -> Callable[..., BertForTokenClassification]:
    def make(dropout: float = 0.1, layers: int = 2) -> BertForTokenClassification:
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=4 + WORDS,
            hidden_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
        )
        return BertForTokenClassification(config)

    return make


@dataclass
class Heard:
    scratch: Path
    seed: int = 5
    numerics: str = "fp32"
    steps: list[tuple[int, int, dict[str, float]]] = field(default_factory=list)
    evaluations: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    interrupt: Callable[[float], None] = lambda fraction: None

    @property
    def cache(self) -> Path:
        return self.scratch / "cache"

    def stepped(self, step: int, total: int, logs: Any) -> None:
        self.steps.append((step, total, dict(logs)))

    def evaluated(self, fraction: float, metrics: Any) -> None:
        self.evaluations.append((fraction, dict(metrics)))
        self.interrupt(fraction)


@pytest.fixture
def heard(tmp_path: Path) -> Callable[..., Heard]:
    def make(name: str = "a", **options: Any) -> Heard:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        return Heard(directory, **options)

    return make


@pytest.fixture
def run(
    tokenizer: Any, train_rows: Dataset, validation_rows: Dataset, task: Tagging
) -> Callable[..., dict[str, float]]:
    def train_once(
        model: Any,
        context: Any,
        objective: Any = None,
        rows: Any = None,
        soft_targets: Any = None,
        trunks: Any = None,
        **options: Any,
    ) -> dict[str, float]:
        from stagetree.training.engine import train

        return train(
            Learner(model, tokenizer, LABELS),
            Lessons(rows if rows is not None else train_rows, validation_rows, soft_targets),
            task,
            TrainingConfig(**{**DEFAULTS, **options}),
            objective or CrossEntropy(),
            context,
            trunks=trunks,
        )

    return train_once


@pytest.fixture
def weights() -> Callable[[Any], dict[str, torch.Tensor]]:
    def copy(model: Any) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    return copy


@pytest.fixture
def difference() -> Callable[[Any, Any], float]:
    def largest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        assert one.keys() == other.keys()
        return max(float((one[name] - other[name]).abs().max()) for name in one)

    return largest
