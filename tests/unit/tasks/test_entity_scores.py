import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, classification_report, f1_score
from seqeval.scheme import IOB2

from stagetree.tasks.base import IGNORED, TASKS

LABELS = ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
NER = TASKS["ner"](TASKS["ner"].Config())
tags = st.integers(0, len(LABELS) - 1)
sentences = st.lists(
    st.lists(st.tuples(tags, tags), min_size=1, max_size=12), min_size=1, max_size=6
)


def _score(gold, predicted):
    """Score tags given as label numbers, with special tokens around and sub-words between."""
    logits, label_ids = [], []
    for truth, guess in zip(gold, predicted, strict=True):
        ids = [IGNORED]
        best = [0]
        for label, number in zip(truth, guess, strict=True):
            ids += [label, IGNORED]
            best += [number, 3]
        label_ids.append(np.array(ids))
        logits.append(np.eye(len(LABELS), dtype=np.float32)[best])
    return NER.score(logits, label_ids, LABELS)


def _names(rows):
    return [[LABELS[number] for number in row] for row in rows]


@given(sentences)
def test_equals_seqeval(pairs):
    gold = [[truth for truth, _ in row] for row in pairs]
    predicted = [[guess for _, guess in row] for row in pairs]
    scores = _score(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = (_names(gold), _names(predicted))
        report = (
            classification_report(*names, output_dict=True, zero_division=0)
            if any(number for row in gold + predicted for number in row)
            else {}
        )
        accuracy = accuracy_score(*names)
    assert scores.metrics["accuracy"] == pytest.approx(accuracy)
    for name, row in report.items():
        ours = dict(scores.per_class[name])
        ours["f1-score"] = ours.pop("f1")
        assert ours == pytest.approx({key: float(value) for key, value in row.items()}), name
    types = set(scores.per_class) - {"micro avg", "macro avg", "weighted avg"}
    assert types == set(report) - {"micro avg", "macro avg", "weighted avg"}
    assert scores.metrics["f1"] == scores.per_class["micro avg"]["f1"]


@given(sentences)
def test_strict_equals_seqeval_strict(pairs):
    gold = [[truth for truth, _ in row] for row in pairs]
    predicted = [[guess for _, guess in row] for row in pairs]
    ours = _score(gold, predicted).metrics["f1_strict"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = f1_score(
                _names(gold), _names(predicted), mode="strict", scheme=IOB2, zero_division=0
            )
        except ValueError:  # seqeval cannot count when there is no entity at all
            theirs = 0.0
    assert ours == pytest.approx(float(theirs))


def test_strict_and_default_differ_on_an_orphan_inside_tag():
    per = LABELS.index("B-PER")
    scores = _score([[per, per + 1, 0]], [[per + 1, per + 1, 0]])
    assert scores.metrics["f1"] == 1.0
    assert scores.metrics["f1_strict"] == 0.0


def test_values_are_plain_floats():
    scores = _score([[1, 2, 0, 3]], [[1, 2, 0, 0]])
    values = [
        *scores.metrics.values(),
        *(v for row in scores.per_class.values() for v in row.values()),
    ]
    assert {type(value) for value in values} == {float}
    assert scores.per_class["LOC"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1.0}
    assert scores.per_class["ORG"]["recall"] == 0.0


def test_nothing_to_score_is_zero():
    assert NER.score([], [], LABELS).metrics["f1"] == 0.0
    scores = _score([[0, 0]], [[0, 0]])
    assert scores.metrics["f1"] == 0.0
    assert scores.metrics["accuracy"] == 1.0


def test_rows_without_any_scored_word_do_not_join_their_neighbours():
    empty = np.array([IGNORED])
    rows = [np.array([2]), empty, np.array([2])]
    logits = [np.eye(len(LABELS))[[2]], np.eye(len(LABELS))[[0]], np.eye(len(LABELS))[[2]]]
    assert NER.score(logits, rows, LABELS).per_class["LOC"]["support"] == 2.0
    assert NER.score([empty * 0.0 + np.eye(7)[[0]]], [empty], LABELS).metrics["accuracy"] == 0.0
