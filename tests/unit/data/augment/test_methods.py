import importlib.util
import random

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from stagetree.data.augment.base import AUGMENTERS
from stagetree.data.augment.entities import spans
from stagetree.data.tags import to_iob2

WORDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
MENTION = st.tuples(st.sampled_from(["PER", "LOC"]), st.lists(WORDS, min_size=1, max_size=3))
PART = st.one_of(WORDS.map(lambda word: (None, [word])), MENTION)
SENTENCE = st.lists(PART, max_size=8)


def usable():
    return [
        name
        for name in AUGMENTERS
        if not AUGMENTERS[name].needs or importlib.util.find_spec(AUGMENTERS[name].needs)
    ]


def tagged(parts):
    tokens, tags = [], []
    for kind, words in parts:
        tokens += words
        tags += ["O"] if kind is None else [f"B-{kind}"] + [f"I-{kind}"] * (len(words) - 1)
    return tokens, tags


def made(name, sentences, share, seed=0):
    rows = {"tokens": [one for one, _ in sentences], "tags": [tags for _, tags in sentences]}
    return AUGMENTERS[name](share, Dataset.from_dict(rows), np.random.default_rng(seed))


def types(tags):
    return [tags[start] for start, _ in spans(tags) if tags[start] != "O"]


@pytest.mark.parametrize("name", usable())
@settings(max_examples=40, deadline=None)
@given(st.lists(SENTENCE, min_size=1, max_size=3), st.floats(0.05, 1.0), st.integers(0, 99))
def test_tags_stay_with_their_words(name, parts, share, seed):
    sentences = [tagged(one) for one in parts]
    first, again = (made(name, sentences, share, seed) for _ in range(2))
    for tokens, tags in sentences:
        words, found = first.change(tokens, tags)
        assert len(words) == len(found)
        assert to_iob2(found) == found
        assert types(found) == types(tags)
        assert bool(words) == bool(tokens)
        assert all(words)
        assert (words, found) == again.change(tokens, tags)


SENTENCES = [
    (["Ann", "Lee", "met", "Bob"], ["B-PER", "I-PER", "O", "B-PER"]),
    (["he", "saw", "New", "York"], ["O", "O", "B-LOC", "I-LOC"]),
]


def test_mentions_come_from_the_training_split():
    augmenter = made("mentions", SENTENCES, 1.0)
    known = {("Ann", "Lee"), ("Bob",)}
    seen = set()
    for _ in range(20):
        words, tags = augmenter.change(*SENTENCES[0])
        mentions = [tuple(words[a:b]) for a, b in spans(tags) if tags[a] != "O"]
        assert set(mentions) <= known
        assert words.count("met") == 1
        seen.update([tuple(mentions)])
    assert len(seen) == 4


def test_words_of_the_same_tag_replace_each_other():
    augmenter = made("same_tag_words", SENTENCES, 1.0)
    words, tags = augmenter.change(*SENTENCES[1])
    assert tags == SENTENCES[1][1]
    assert words[2:] == ["New", "York"]
    assert set(words[:2]) <= {"met", "he", "saw"}


@pytest.mark.parametrize("name", ["drop_words", "swap_words"])
def test_words_of_entities_are_left_alone(name):
    augmenter = made(name, SENTENCES, 1.0)
    for tokens, tags in SENTENCES:
        words, found = augmenter.change(tokens, tags)
        pairs = [pair for pair in zip(words, found, strict=True) if pair[1] != "O"]
        assert pairs == [pair for pair in zip(tokens, tags, strict=True) if pair[1] != "O"]
    assert made("drop_words", [], 1.0).change(["a", "b"], ["O", "O"])[0] in (["a"], ["b"])


def test_share_is_how_much_is_changed():
    long = ([f"word{number}" for number in range(2000)], ["O"] * 2000)
    kept, _ = made("drop_words", [long], 0.25).change(*long)
    assert 1400 < len(kept) < 1600


@pytest.mark.parametrize("name", ["keyboard", "ocr", "swap_letters", "drop_letters"])
def test_letters_change_word_by_word_and_nothing_else_is_seeded(name):
    pytest.importorskip("nlpaug")
    tokens = ["Washington", "U.S.", "don't", "New-York", "boil"] * 10
    augmenter = made(name, [(tokens, ["O"] * 50)], 1.0)
    before, numpy_before = random.getstate(), np.random.get_state()[1].copy()
    words, _ = augmenter.change(tokens, ["O"] * 50)
    assert sum(word != token for word, token in zip(words, tokens, strict=True)) > 20
    assert words != augmenter.change(tokens, ["O"] * 50)[0]
    assert random.getstate() == before
    assert (np.random.get_state()[1] == numpy_before).all()
