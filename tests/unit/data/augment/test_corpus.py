import pytest
from datasets import Dataset

from stagetree.core.errors import ConfigError
from stagetree.data.augment.base import AugmentConfig
from stagetree.data.augment.corpus import augmented
from stagetree.data.corpus import Corpus

TEXTS = Dataset.from_dict(
    {
        "text": [f"one two  three four five six seven {number}" for number in range(20)],
        "text_pair": ["a b c d e f g h"] * 20,
        "label": ["x", "y"] * 10,
    }
)
TOKENS = Dataset.from_dict(
    {"tokens": [["Ann", "met", "Bob"]] * 9, "tags": [["B-P", "O", "B-P"]] * 9}
)


def corpus(rows):
    return Corpus("tiny", rows, rows, rows, "print")


def test_copies_follow_the_originals_and_keep_their_labels(tmp_path):
    found = augmented(corpus(TEXTS), "text", AugmentConfig("drop_words", 2, 0.3), 1, tmp_path)
    assert found.train[:20] == TEXTS[:]
    assert found.train["label"][:] == TEXTS["label"][:] * 3
    assert found.train.features == TEXTS.features
    for name in ("text", "text_pair"):
        copies = found.train[name][20:]
        assert copies[:20] != copies[20:]
        originals = TEXTS[name][:] * 2
        for copy, original in zip(copies, originals, strict=True):
            assert set(copy.split()) <= set(original.split())
    assert found.validation[:] == TEXTS[:]
    assert found.test[:] == TEXTS[:]


def test_spaces_stay_where_words_do(tmp_path):
    found = augmented(corpus(TEXTS), "text", AugmentConfig("swap_words", 1, 1.0), 1, tmp_path)
    copies = found.train["text"][20:]
    assert copies != TEXTS["text"][:]
    assert all(text.count("  ") == 1 and text.count(" ") == 8 for text in copies)


def test_everything_that_changes_the_copies_changes_the_fingerprint(tmp_path):
    def made(config, seed=1, name="a"):
        return augmented(corpus(TOKENS), "tokens", config, seed, tmp_path / name)

    base = made(AugmentConfig("drop_words", 1, 0.5))
    others = [
        made(AugmentConfig("drop_words", 2, 0.5)),
        made(AugmentConfig("drop_words", 1, 0.4)),
        made(AugmentConfig("mentions", 1, 0.5)),
        made(AugmentConfig("drop_words", 1, 0.5), seed=2),
    ]
    assert len({base.fingerprint, "print", *(other.fingerprint for other in others)}) == 6
    elsewhere = made(AugmentConfig("drop_words", 1, 0.5), name="b")
    assert elsewhere.fingerprint == base.fingerprint
    assert elsewhere.train[:] == base.train[:]


def test_none_is_the_corpus_itself(tmp_path):
    whole = corpus(TOKENS)
    assert augmented(whole, "tokens", AugmentConfig(), 1, tmp_path) is whole


def test_a_method_for_tags_does_not_fit_texts(tmp_path):
    with pytest.raises(ConfigError, match=r"layout 'text' \(.*drop_words.*\) but got 'mentions'"):
        augmented(corpus(TEXTS), "text", AugmentConfig("mentions"), 1, tmp_path)
