import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report, f1_score

from stagetree.core.errors import DataError
from stagetree.data.corpus import Corpus
from stagetree.tasks.classification import ClassificationConfig, ClassificationTask

TASK = ClassificationTask(ClassificationConfig())
LABELS = ["bad", "good", "mixed"]


def _rows(texts, labels, pairs=None):
    columns = {"text": texts, "label": labels}
    return datasets.Dataset.from_dict(columns | ({"text_pair": pairs} if pairs else {}))


def _corpus(*labels):
    splits = [_rows(["x"] * len(names), names) for names in labels]
    return Corpus("toy", *splits, "0")


def test_labels_are_sorted_numbers_by_value():
    assert TASK.labels(_corpus(["b", "a"], ["c"], ["d"])) == ["a", "b", "c", "d"]
    assert TASK.labels(_corpus(["10", "9"], ["2"], [])) == ["2", "9", "10"]


def test_one_class_or_wrong_columns_are_errors():
    with pytest.raises(
        DataError, match=r"toy: expected at least two different labels, got \['a'\]"
    ):
        TASK.labels(_corpus(["a"], ["a"], []))
    rows = datasets.Dataset.from_dict({"tokens": [["a"]]})
    with pytest.raises(DataError, match=r"expects the columns text and label.*got \['tokens'\]"):
        TASK.labels(Corpus("toy", rows, rows, rows, "0"))


def test_texts_are_truncated_and_numbered(tokenizer):
    rows = _rows(["good film", "bad film " * 20], ["good", "bad"])
    encoded = TASK.encode(rows, tokenizer, LABELS, 8)
    assert encoded["length"][:] == [4, 8]
    assert encoded["labels"][:] == [1, 0]
    assert "token_type_ids" not in encoded.column_names
    assert tokenizer.decode(encoded[0]["input_ids"]) == "[CLS] good film [SEP]"


def test_pairs_have_segments(tokenizer):
    rows = _rows(["good film"], ["good"], ["bad city"])
    encoded = TASK.encode(rows, tokenizer, LABELS, 16)
    assert encoded[0]["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]


def test_pairs_have_no_segments_where_the_model_has_none(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids", "attention_mask"])
    encoded = TASK.encode(_rows(["good"], ["good"], ["bad"]), tokenizer, LABELS, 16)
    assert "token_type_ids" not in encoded.column_names


def test_empty_split_and_unknown_label(tokenizer):
    assert len(TASK.encode(_rows([], []), tokenizer, LABELS, 8)) == 0
    with pytest.raises(DataError, match=r"unknown label 'god'. Did you mean 'good'"):
        TASK.encode(_rows(["x"], ["god"]), tokenizer, LABELS, 8)


def test_collator_pads_to_the_longest_row(tokenizer):
    encoded = TASK.encode(_rows(["good", "bad film"], ["good", "bad"]), tokenizer, LABELS, 8)
    batch = TASK.collator(tokenizer)(list(encoded))
    assert batch["input_ids"].shape == (2, 4)
    assert batch["labels"].tolist() == [1, 0]
    assert "length" not in batch


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_scores_equal_scikit_learn(pairs):
    gold, guess = [truth for truth, _ in pairs], [number for _, number in pairs]
    scores = TASK.score(list(np.eye(3)[guess]), [np.array(number) for number in gold], LABELS)
    expected = {
        f"{average}_f1": f1_score(gold, guess, average=average, zero_division=0)
        for average in ("macro", "micro", "weighted")
    }
    assert scores.metrics == pytest.approx({**expected, "accuracy": accuracy_score(gold, guess)})
    seen = sorted({*gold, *guess})
    names = [LABELS[number] for number in seen]
    report = classification_report(
        gold, guess, labels=seen, target_names=names, output_dict=True, zero_division=0
    )
    for name in names:
        assert scores.per_class[name]["f1"] == pytest.approx(report[name]["f1-score"])
        assert scores.per_class[name]["support"] == report[name]["support"]
    assert {type(value) for value in scores.metrics.values()} == {float}


def test_nothing_to_score_is_zero():
    assert TASK.score([], [], LABELS).metrics["macro_f1"] == 0.0


def test_decode():
    assert TASK.decode([np.array([0.1, 2.0, 0.3])], LABELS) == ["good"]
