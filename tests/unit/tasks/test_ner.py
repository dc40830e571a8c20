import time

import datasets
import numpy as np
import pytest

from stagetree.core.errors import DataError, ModelError
from stagetree.data.corpus import Corpus
from stagetree.tasks.base import IGNORED
from stagetree.tasks.ner import LongTexts, NerConfig, NerTask

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
TASK = NerTask(NerConfig())


def _rows(*sentences):
    return datasets.Dataset.from_dict(
        {"tokens": [s[0] for s in sentences], "tags": [s[1] for s in sentences]},
        features=datasets.Features(
            dict.fromkeys(("tokens", "tags"), datasets.List(datasets.Value("string")))
        ),
    )


def _corpus(train, validation=None, test=None):
    empty = _rows()
    return Corpus("toy", train, validation or empty, test or empty, "0")


def _tags(encoded):
    return [[LABELS[number] for number in row if number != IGNORED] for row in encoded["labels"]]


JOHN = (["John", "lives", "in", "Newest", "York"], ["B-PER", "O", "O", "B-LOC", "I-LOC"])


def test_labels_are_pairs_of_every_type_in_any_split():
    corpus = _corpus(
        _rows((["a"], ["B-PER"])), _rows((["a"], ["B-LOC"])), _rows((["a"], ["B-ZZZ"]))
    )
    assert TASK.labels(corpus) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ZZZ", "I-ZZZ"]


def test_no_entities_or_no_data_is_an_error():
    with pytest.raises(DataError, match="toy: expected entities in the tags, got only 'O'"):
        TASK.labels(_corpus(_rows((["a"], ["O"]))))
    with pytest.raises(DataError, match="expected training sentences, got none"):
        TASK.labels(_corpus(_rows()))
    with pytest.raises(DataError, match=r"expects the columns tokens and tags, got \['text'\]"):
        TASK.labels(_corpus(datasets.Dataset.from_dict({"text": ["a"]})))


def test_first_sub_words_carry_the_tags(tokenizer):
    encoded = TASK.encode(_rows(JOHN), tokenizer, LABELS, 32)
    (row,) = list(encoded)
    pieces = tokenizer.convert_ids_to_tokens(row["input_ids"])
    marked = {
        piece: number
        for piece, number in zip(pieces, row["labels"], strict=True)
        if number != IGNORED
    }
    assert pieces[0] == "[CLS]"
    assert pieces[-1] == "[SEP]"
    assert marked == {"john": 3, "lives": 0, "in": 0, "new": 1, "york": 2}
    assert row["length"] == len(row["input_ids"]) == len(row["attention_mask"]) == 10


def test_long_sentences_are_split_without_losing_a_label(tokenizer):
    tokens = ["the", "film", *["new", "york", "city"] * 4, "good"]
    tags = ["O", "O", *["B-LOC", "I-LOC", "I-LOC"] * 4, "O"]
    encoded = TASK.encode(_rows(JOHN, (tokens, tags), JOHN), tokenizer, LABELS, 10)
    rows = _tags(encoded)
    assert max(encoded["length"]) <= 10
    assert rows[0] == rows[-1] == JOHN[1]
    assert [tag for row in rows[1:-1] for tag in row] == tags
    assert not any(row[0].startswith("I-") for row in rows)


def test_an_entity_longer_than_a_row_opens_again(tokenizer):
    encoded = TASK.encode(_rows((["new"] * 6, ["B-LOC", *["I-LOC"] * 5])), tokenizer, LABELS, 5)
    assert _tags(encoded) == [["B-LOC", "I-LOC", "I-LOC"]] * 2


def test_truncate_keeps_only_the_beginning(tokenizer):
    task = NerTask(NerConfig(long_texts=LongTexts.truncate))
    encoded = task.encode(_rows((["new"] * 6, ["O"] * 6), JOHN), tokenizer, LABELS, 5)
    assert len(encoded) == 2
    assert _tags(encoded)[0] == ["O"] * 3
    assert encoded["length"][:] == [5, 5]


def test_word_longer_than_a_row_keeps_its_label(tokenizer):
    row = (["a", "x" * 30, "b"], ["O", "B-PER", "O"])
    encoded = TASK.encode(_rows(row), tokenizer, LABELS, 8)
    assert [tag for tags in _tags(encoded) for tag in tags] == row[1]
    assert max(encoded["length"]) <= 8


def test_word_the_tokenizer_drops_keeps_its_label(tokenizer):
    row = (["john", "\u200b", "york"], ["B-PER", "B-LOC", "I-LOC"])
    encoded = TASK.encode(_rows(row), tokenizer, LABELS, 16)
    assert _tags(encoded) == [row[1]]
    assert tokenizer.unk_token_id in encoded[0]["input_ids"]


def test_unknown_tag_names_the_nearest(tokenizer):
    with pytest.raises(DataError, match="got 'B-LOCK'; nearest: 'B-LOC'"):
        TASK.encode(_rows((["a"], ["B-LOCK"])), tokenizer, LABELS, 8)


def test_slow_tokenizer_is_refused(tokenizer):
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="expected a fast tokenizer, got Slow"):
        TASK.encode(_rows(JOHN), Slow(), LABELS, 8)


def test_empty_split_encodes_to_nothing(tokenizer):
    encoded = TASK.encode(_rows(), tokenizer, LABELS, 8)
    assert len(encoded) == 0
    assert set(encoded.column_names) == {"input_ids", "attention_mask", "labels", "length"}


def test_three_thousand_sentences_in_two_seconds(tokenizer):
    rows = _rows(*[(JOHN[0] * 5, JOHN[1] * 5)] * 3000)
    start = time.perf_counter()
    encoded = TASK.encode(rows, tokenizer, LABELS, 128)
    assert len(encoded) == 3000
    assert time.perf_counter() - start < 6  # under 2 s on an idle core


def test_collator_pads_to_the_longest_row(tokenizer):
    encoded = TASK.encode(_rows((["new"], ["B-LOC"]), JOHN), tokenizer, LABELS, 32)
    batch = TASK.collator(tokenizer)(list(encoded))
    assert set(batch) - {"token_type_ids"} == {"input_ids", "attention_mask", "labels"}
    assert batch["input_ids"].shape == batch["labels"].shape == (2, 10)
    assert batch["labels"][0].tolist() == [IGNORED, 1, *[IGNORED] * 8]
    assert batch["attention_mask"][0].tolist() == [1] * 3 + [0] * 7
    assert str(batch["labels"].dtype) == "torch.int64"


def test_decode_gives_tags_of_rows_and_of_sentences(tokenizer):
    tokens = (["new", "york"] * 5, ["B-LOC", "I-LOC"] * 5)
    encoded = TASK.encode(_rows(JOHN, tokens), tokenizer, LABELS, 10)
    label_ids = [np.array(row) for row in encoded["labels"]]
    logits = [np.eye(len(LABELS))[np.where(row == IGNORED, 0, row)] for row in label_ids]
    rows = TASK.decode(logits, label_ids, LABELS)
    assert len(rows) == len(encoded) > 2
    assert TASK.decode(logits, label_ids, LABELS, words=[5, 10]) == [JOHN[1], tokens[1]]


@pytest.mark.parametrize("long_texts", list(LongTexts))
def test_examples_of_long_sentences_are_whole_again_or_as_much_as_is_scored(tokenizer, long_texts):
    task = NerTask(NerConfig(long_texts=long_texts))
    words = ["Ada", "Lovelace"] * 12
    rows = _rows(JOHN, ([], []), (words, ["B-PER", "I-PER"] * 12), JOHN)
    label_ids = [np.asarray(row) for row in task.encode(rows, tokenizer, LABELS, 10)["labels"]]
    logits = [np.eye(len(LABELS))[np.where(row == IGNORED, 0, row)] for row in label_ids]
    examples = task.examples(logits, label_ids, LABELS, rows)
    assert all(examples.right())
    assert [examples.gold[0], examples.gold[1], examples.gold[3]] == [JOHN[1], [], JOHN[1]]
    split = long_texts is LongTexts.split
    assert (len(examples.gold[2]) == len(words)) is split
    inside = [np.roll(row, 1, axis=-1) for row in logits]  # every tag one further, I- at starts too
    found = task.examples(inside, label_ids, LABELS, rows)
    score = task.score(inside, label_ids, LABELS).metrics["f1"]
    assert task.from_tallies(task.tallies(found).sum(axis=0)) == pytest.approx(score)
