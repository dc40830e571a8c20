import time
from collections import Counter

import pytest

from stagetree.data.load import load
from stagetree.data.sources.base import SOURCES
from stagetree.data.sources.pii import PiiConfig, PiiSource, _companies, _identities
from stagetree.data.sources.pii_templates import divide, parse
from stagetree.data.sources.pii_values import PLACEHOLDERS, card_number, luhn_digit
from stagetree.data.splits import stratified
from stagetree.data.tags import to_iob2

pytestmark = pytest.mark.usefixtures("pii_asset")
TYPES = {kind for kind, _ in PLACEHOLDERS.values() if kind}


@pytest.fixture(scope="module")
def corpus(pii_asset):
    return PiiSource.load(PiiConfig())


def _splits(corpus):
    return (corpus.train, corpus.validation, corpus.test)


def test_sizes_and_columns(corpus):
    assert [len(rows) for rows in _splits(corpus)] == [2000, 400, 400]
    assert corpus.train.column_names == ["tokens", "tags"]


def test_every_split_has_every_type_and_valid_tags(corpus):
    assert len(TYPES) == 12
    for rows in _splits(corpus):
        seen = Counter()
        for tokens, tags in zip(rows["tokens"], rows["tags"], strict=True):
            assert len(tokens) == len(tags) > 0
            assert to_iob2(tags) == tags
            assert all(token.strip() and not set(token) & set("{}") for token in tokens)
            seen.update(tag[2:] for tag in tags if tag.startswith("B-"))
        assert set(seen) == TYPES
        assert min(seen.values()) >= 10


def test_same_seed_same_corpus_other_seed_other_corpus(corpus):
    again = PiiSource.load(PiiConfig())
    assert again.train["tokens"][:] == corpus.train["tokens"][:]
    assert again.fingerprint == corpus.fingerprint
    other = PiiSource.load(PiiConfig(split_seed=14))
    assert other.train["tokens"][:] != corpus.train["tokens"][:]
    assert other.fingerprint != corpus.fingerprint


def test_a_larger_size_keeps_the_sentences_of_a_smaller_one(corpus):
    small = PiiSource.load(PiiConfig(train_size=300, test_size=50))
    assert small.train["tokens"][:] == corpus.train["tokens"][:300]
    assert small.test["tags"][:] == corpus.test["tags"][:50]
    assert small.validation["tokens"][:] == corpus.validation["tokens"][:]


def test_no_template_identity_or_company_is_in_two_splits(pii_asset):
    shares, seed = [0.6, 0.2, 0.2], 13
    templates = parse((pii_asset / "templates.txt").read_text(encoding="utf-8"))
    identities = _identities(pii_asset / "FakeNameGenerator.com_3000.csv")
    companies = _companies(pii_asset / "companies_and_organizations.csv")
    names = [(who["GivenName"].casefold(), who["Surname"].casefold()) for who in identities]
    pools = (
        ([template.text for template in templates], divide(templates, shares, seed)),
        (names, stratified([0] * len(names), shares, seed)),
        ([name.casefold() for name in companies], stratified([0] * len(companies), shares, seed)),
    )
    for values, split in pools:
        assert len(set(values)) == len(values)
        parts = [
            {values[at] for at in rows} for rows in (split.train, split.validation, split.test)
        ]
        assert all(parts)
        assert sum(map(len, parts)) == len(set().union(*parts)) == len(values)


def test_nothing_unique_to_a_person_or_company_crosses_splits(corpus):
    unique = {"CREDIT_CARD", "ONLINE_ID", "ID_NUMBER", "PHONE_NUMBER", "ORGANIZATION"}
    seen = []
    for rows in _splits(corpus):
        values = set()
        for tokens, tags in zip(rows["tokens"], rows["tags"], strict=True):
            for at, tag in enumerate(tags):
                if tag[:2] == "B-" and tag[2:] in unique:
                    end = at + 1
                    while end < len(tags) and tags[end][:2] == "I-":
                        end += 1
                    values.add(" ".join(tokens[at:end]))
        seen.append(values)
    train, validation, test = seen
    assert min(map(len, seen)) > 50
    assert len(train | validation | test) == sum(map(len, seen))


def test_hardly_any_sentence_is_repeated(corpus):
    for rows in _splits(corpus):
        assert len({tuple(tokens) for tokens in rows["tokens"]}) > 0.95 * len(rows)


def test_card_numbers_are_whole_and_pass_luhn():
    import random

    number = card_number("5.54563E+15", random.Random(1))
    assert len(number) == 16
    assert number.startswith("554563")
    assert luhn_digit(number[:-1]) == number[-1]
    assert luhn_digit("411111111111111") == "1"


def test_loading_is_fast(corpus):
    start = time.perf_counter()
    PiiSource.load(PiiConfig())
    assert time.perf_counter() - start < 3  # 0.5 s on an idle core


def test_check():
    assert SOURCES["pii"].check(PiiConfig(), "tokens") == []
    faults = PiiSource.check(PiiConfig(train_size=0, split=[0.9, 0.1, 0.0]), "text")
    assert [fault.path for fault in faults] == ["kind", "train_size", "split"]


def test_check_says_how_to_get_the_asset(monkeypatch, tmp_path):
    monkeypatch.setenv("STAGETREE_CACHE", str(tmp_path))
    (fault,) = PiiSource.check(PiiConfig(), "tokens")
    assert "stagetree assets get pii" in fault.message


def test_limits_apply(corpus):
    assert len(load(PiiConfig(max_train=64, max_validation=32)).train) == 64
