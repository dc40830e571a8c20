from __future__ import annotations

from datasets import Dataset

from stagetree.data.corpus import Corpus
from stagetree.data.share import part


def corpus(count: int) -> Corpus:
    rows = Dataset.from_dict({"text": [str(number) for number in range(count)]})
    return Corpus("c", rows, rows, rows, "fingerprint")


def test_a_share_keeps_order_and_lies_within_a_larger_one() -> None:
    whole = corpus(40)
    quarter, half = (part(whole, share) for share in (0.25, 0.5))
    small, large = ([int(text) for text in some.train["text"]] for some in (quarter, half))
    assert [len(small), len(large)] == [10, 20]
    assert set(small) < set(large)
    assert small == sorted(small)
    assert large == sorted(large)
    assert len(half.validation) == len(half.test) == 40


def test_what_is_made_of_a_share_is_told_from_what_is_made_of_the_whole() -> None:
    whole = corpus(40)
    found = {part(whole, share).fingerprint for share in (0.25, 0.5, 1.0)}
    assert len(found) == 3
    assert part(whole, 1.0) is whole
    assert part(whole, 0.5).train["text"] == part(corpus(40), 0.5).train["text"]


def test_the_smallest_share_is_one_example() -> None:
    assert len(part(corpus(3), 0.01).train) == 1
