from collections import Counter

import pytest

from stagetree.core.errors import DataError
from stagetree.data.sources.sentiment import SentimentConfig, SentimentSource, _parts


@pytest.fixture(scope="module")
def corpus(sentiment_asset):
    return SentimentSource.load(SentimentConfig())


def test_sizes_and_balance(corpus):
    counts = [Counter(rows["label"]) for rows in (corpus.train, corpus.validation, corpus.test)]
    assert sum(sum(count.values()) for count in counts) == 10_041
    for count in counts:
        assert set(count) == {"negative", "positive"}
        assert count["positive"] / sum(count.values()) == pytest.approx(0.496, abs=0.005)


def test_no_text_is_in_two_splits(corpus):
    texts = [set(rows["text"]) for rows in (corpus.train, corpus.validation, corpus.test)]
    assert len(set().union(*texts)) == sum(map(len, texts))
    assert any("\u2019" in text for text in texts[0])
    assert not any("\r" in text or "Ã" in text for text in texts[0])


def test_seed_and_band_change_corpus_and_fingerprint(corpus):
    assert SentimentSource.load(SentimentConfig()).train["text"][:] == corpus.train["text"][:]
    wide = SentimentSource.load(SentimentConfig(neutral_band=0.0))
    assert len(wide.train) > len(corpus.train)
    assert wide.fingerprint != corpus.fingerprint
    other = SentimentSource.load(SentimentConfig(split_seed=1))
    assert other.train["text"][:] != corpus.train["text"][:]


def test_check(sentiment_asset):
    assert SentimentSource.check(SentimentConfig(), "text") == []
    faults = SentimentSource.check(SentimentConfig(neutral_band=4.0), "tokens")
    assert [fault.path for fault in faults] == ["kind", "neutral_band"]


@pytest.mark.parametrize("line", ["1\t2.0", "1\tx\ttext", "1\tnan\ttext"])
def test_malformed_lines_name_the_line(tmp_path, line):
    with pytest.raises(DataError, match=r"truth.txt:7: expected number, mean rating and text"):
        _parts(tmp_path / "truth.txt", 7, line)
