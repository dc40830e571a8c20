"""A tiny pretrained BERT on disk, a tiny corpus, and contexts to run stages in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stagetree.models.config import ModelConfig
from stagetree.stages.base import StageContext

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(60))]


def _sentences(count: int, seed: int, kind: str):
    from datasets import Dataset

    generator = np.random.default_rng(seed)
    tokens, tags = [], []
    for _ in range(count):
        numbers = generator.integers(0, 60, int(generator.integers(2, 12)))
        tokens.append([f"word{number}" for number in numbers])
        tags.append([f"B-{kind}" if number % 4 == 0 else "O" for number in numbers])
    return Dataset.from_dict({"tokens": tokens, "tags": tags})


def _corpus(kind: str):
    from stagetree.data.corpus import Corpus

    train, validation, test = (
        _sentences(size, seed, kind) for seed, size in enumerate((120, 40, 10))
    )
    return Corpus("tiny", train, validation, test, f"tiny-{kind}")


@pytest.fixture(scope="session")
def corpus_with_other_labels():
    return _corpus("Y")


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory) -> Path:
    import torch
    import transformers

    place = tmp_path_factory.mktemp("pretrained") / "tiny-bert"
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(place)
    vocab = {word: index for index, word in enumerate(WORDS)}
    transformers.BertTokenizerFast(vocab=vocab).save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def make_context(tmp_path_factory, base_dir):
    """Return a function that makes a context and the list of what it was told."""
    from stagetree.tasks.ner import NerConfig, NerTask

    corpus, cache = _corpus("X"), tmp_path_factory.mktemp("cache")

    def make(name, inputs=None):
        place = tmp_path_factory.mktemp(name)
        for part in ("output", "scratch"):
            (place / part).mkdir()
        evaluations = []
        context = StageContext(
            name=name,
            inputs=inputs or {},
            output=place / "output",
            scratch=place / "scratch",
            cache=cache,
            model=ModelConfig(name=str(base_dir)),
            task=NerTask(NerConfig()),
            corpus=corpus,
            seed=1,
            numerics="fp32",
            stepped=lambda step, total, logs: None,
            evaluated=lambda fraction, metrics: evaluations.append((fraction, dict(metrics))),
        )
        return context, evaluations

    return make


@pytest.fixture(scope="session")
def encode():
    from stagetree.training.encoded import encoded

    def rows(context, runner, split="validation"):
        return encoded(
            context.corpus, split, context.task, runner.tokenizer, runner.labels, 32, context.cache
        )

    return rows
